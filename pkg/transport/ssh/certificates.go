package ssh

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	xssh "golang.org/x/crypto/ssh"
)

// certificate is a user certificate and where it was found.
type certificate struct {
	path string
	cert *xssh.Certificate
}

// addCertificate reads a file with a user certificate. One that can't be used
// is passed over with a note; one that is not there too, when the user named it.
func (k *keyring) addCertificate(path string, named bool) {
	note := func(why any) { k.notes = append(k.notes, fmt.Sprintf("the certificate %s is not used: %v", path, why)) }
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return
	}
	if err != nil {
		note(err)
		return
	}
	key, _, _, _, err := xssh.ParseAuthorizedKey(data)
	if err != nil {
		note(err)
		return
	}
	cert, ok := key.(*xssh.Certificate)
	switch {
	case !ok:
		note("it is a plain public key")
		return
	case cert.CertType != xssh.UserCert:
		note("it is not one for users")
		return
	case expired(cert, time.Now()):
		// The host judges, by its own clock; this is for when it has refused.
		k.notes = append(k.notes, fmt.Sprintf("the certificate %s is valid until %s", path,
			time.Unix(int64(cert.ValidBefore), 0).Format(time.RFC3339)))
	}
	blob := string(cert.Key.Marshal())
	for _, c := range k.certificates[blob] {
		if string(c.cert.Marshal()) == string(cert.Marshal()) {
			return
		}
	}
	k.certificates[blob] = append(k.certificates[blob], certificate{path, cert})
}

// expired tells whether a certificate's time is over; ValidBefore is a time in
// seconds since 1970, or all ones for ever.
func expired(cert *xssh.Certificate, now time.Time) bool {
	return cert.ValidBefore != xssh.CertTimeInfinity && uint64(now.Unix()) >= cert.ValidBefore
}
