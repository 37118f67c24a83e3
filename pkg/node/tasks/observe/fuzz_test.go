package observe

import (
	"net"
	"testing"
)

// FuzzPackets: what comes from the network is one of the packets that are waited for, or nothing.
func FuzzPackets(f *testing.F) {
	me, address := net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.IPv4(10, 0, 0, 9).To4()
	f.Add(arpFrame(me, address))
	f.Add([]byte{0x31, 51, 100, 1, 0, 0, 0, 0})
	f.Add([]byte{0x21, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, packet []byte) {
		if mac := arpAnswer(packet, address, me); mac != nil && (len(mac) != 6 || mac.String() == me.String()) {
			t.Errorf("%s answers", mac)
		}
		if router, ok := parseVRRP(packet); ok && (router < 1 || router > 255) {
			t.Errorf("the router %d", router)
		}
	})
}

// FuzzHostText: what a host's files and programs say of it is understood, or left out.
func FuzzHostText(f *testing.F) {
	for _, seed := range []string{"", "NAME=\"Debian\"\nID=debian\n=x\n'\n", "  sl  local_address\n   0: 0100007F:1F90 00000000:0000 0A\n", "kubelet Kubernetes v1.36.3\n", "containerd x v1.7.24~ds1", "kind: Pod\nspec: {containers: [{image: 'a:v1@sha256:0'}]}", "kind: Pod\nspec: {containers: [null]}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		shellValues(text)
		versionIn(text)
		podVersion([]byte(text))
		for name, port := range listening(text) {
			if port < 0 || port > 65535 {
				t.Errorf("%s listens on %d", name, port)
			}
		}
	})
}
