package approver

import "testing"

// FuzzRequest: a certificate request is one that its key has signed, or refused.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{"", "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		request, err := parse(data)
		if (err == nil) != (request != nil) {
			t.Fatalf("%v, %v", request, err)
		}
		if request != nil && request.CheckSignature() != nil {
			t.Error("it is not signed by its key")
		}
	})
}
