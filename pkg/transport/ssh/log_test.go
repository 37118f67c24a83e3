package ssh

import (
	"bytes"
	"flag"
	"regexp"
	"strings"
	"testing"

	"k8s.io/klog/v2"
)

// TestCommandsAreLogged: at klog's level 4 host, argv, duration and exit code are, and
// nothing that a command reads; below it nothing is.
func TestCommandsAreLogged(t *testing.T) {
	key, pub := writeKey(t, "")
	s := startServer(t, pub)
	conn, err := NewDialer("").Dial(testContext(t), s.target(key))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // the test is over
	for level, want := range map[string]bool{"3": false, "4": true} {
		state := klog.CaptureState()
		var out bytes.Buffer
		settings := flag.NewFlagSet("klog", flag.ContinueOnError)
		klog.InitFlags(settings)
		for name, value := range map[string]string{"logtostderr": "false", "one_output": "true", "v": level} {
			if err := settings.Set(name, value); err != nil {
				t.Fatal(err)
			}
		}
		klog.SetOutput(&out)
		err := conn.Run(testContext(t), []string{"sh", "-c", "cat; exit 7"}, strings.NewReader("what-it-reads"), nil, nil)
		state.Restore()
		if err == nil {
			t.Fatal("it did not fail")
		}
		text := out.String()
		ended := regexp.MustCompile(`"SSH command ended" host="cp1" argv=\["sh","-c","cat; exit 7"\] took="\d+m?s" exit=7`)
		if got := ended.MatchString(text) && strings.Contains(text, `"SSH command begins" host="cp1" argv=["sh"`); got != want || !want && text != "" {
			t.Errorf("level %s: %s", level, text)
		}
		if strings.Contains(text, "what-it-reads") {
			t.Errorf("level %s shows the input", level)
		}
	}
}
