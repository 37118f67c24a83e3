package bootstrap

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
	"github.com/kubectl-ha/kubectl-ha/pkg/pki"
)

func successionCluster() *v1alpha1.Cluster {
	c := &v1alpha1.Cluster{Spec: v1alpha1.ClusterSpec{Hosts: []v1alpha1.Host{{Name: "cp1", Address: "10.0.0.1", Roles: []v1alpha1.Role{v1alpha1.RoleControlPlane, v1alpha1.RoleEtcd}}}}}
	c.Metadata.Name = "c"
	return c
}

// state is what members that join now are given, and what is asked of hosts.
type successionSeen struct {
	files  MemberFiles
	inputs Inputs
}

func lookAtSuccession(t *testing.T, dir string, c *v1alpha1.Cluster) successionSeen {
	t.Helper()
	files, err := SignMember(t.Context(), dir, c.Metadata.Name, c.Spec.Hosts[0])
	if err != nil {
		t.Fatal(err)
	}
	in, err := LocalInputs(t.Context(), dir, c)
	if err != nil {
		t.Fatal(err)
	}
	return successionSeen{files, in}
}

// TestSuccession goes through a rotation of the etcd CA, and through one that is taken back: who
// signs, who is trusted, and that the cluster is known by the same name and token all the time.
func TestSuccession(t *testing.T) {
	type step struct {
		phase certs.Phase
		back  bool
		// signs and trusts are "from", "to" or both.
		signs  string
		trusts []string
	}
	forwards := []step{{certs.PhaseTrust, false, "from", []string{"from", "to"}}, {certs.PhaseIssue, false, "to", []string{"to", "from"}}, {certs.PhaseFinish, false, "to", []string{"to"}}}
	backwards := []step{forwards[0], forwards[1], {certs.PhaseIssue, true, "from", []string{"from", "to"}}, {certs.PhaseFinish, true, "from", []string{"from"}}}
	for name, c := range map[string]struct {
		steps []step
		stays string
	}{"to its end": {forwards, "to"}, "taken back": {backwards, "from"}, "taken back at once": {[]step{forwards[0], {certs.PhaseFinish, true, "from", []string{"from"}}}, "from"}} {
		t.Run(name, func(t *testing.T) {
			dir, cluster := t.TempDir(), successionCluster()
			if err := os.Chmod(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenEtcdCAs(t.Context(), dir, cluster); !errors.Is(err, ErrNoCA) {
				t.Fatalf("without a CA: %v", err)
			}
			if _, err := makeAuthority(t.Context(), dir, cluster.Metadata.Name, nil); err != nil {
				t.Fatal(err)
			}
			before := lookAtSuccession(t, dir, cluster)
			var cas *EtcdCAs
			for _, s := range c.steps {
				var err error
				// As by another run of the program, each of which may be the one that is interrupted.
				for range 2 {
					if cas, err = OpenEtcdCAs(t.Context(), dir, cluster); err != nil {
						t.Fatal(err)
					}
					if err := cas.Begin(t.Context(), s.phase, s.back); err != nil {
						t.Fatal(err)
					}
				}
				pem := map[string][]byte{"from": cas.From(), "to": cas.To()}
				seen := lookAtSuccession(t, dir, cluster)
				if err := pki.IssuedBy(pem[s.signs], seen.files.ServerCert); err != nil {
					t.Errorf("%s (back: %v): %v", s.phase, s.back, err)
				}
				var want, fingerprints []string
				for _, n := range s.trusts {
					f, err := fingerprint(pem[n])
					if err != nil {
						t.Fatal(err)
					}
					want, fingerprints = append(want, string(pem[n])), append(fingerprints, f)
				}
				for n, one := range pem {
					// Of hosts that are not through it is no stranger's.
					if slices.Contains(s.trusts, n) {
						continue
					}
					f, err := fingerprint(one)
					if err != nil {
						t.Fatal(err)
					}
					fingerprints = append(fingerprints, f)
				}
				var got []string
				for _, ca := range pki.Certs(seen.files.CA) {
					got = append(got, string(ca))
				}
				if !slices.Equal(got, want) || !slices.Equal(seen.inputs.EtcdCAs, fingerprints) {
					t.Errorf("%s (back: %v): %d CAs are trusted, %v, want %v", s.phase, s.back, len(got), seen.inputs.EtcdCAs, fingerprints)
				}
				if seen.inputs.Identity != before.inputs.Identity || seen.files.Token != before.files.Token || seen.files.Identity != before.files.Identity {
					t.Errorf("%s: the cluster is known by %s and %s, and was by %s and %s", s.phase, seen.inputs.Identity, seen.files.Token, before.inputs.Identity, before.files.Token)
				}
			}
			if err := cas.Complete(t.Context()); err != nil {
				t.Fatal(err)
			}
			pem := map[string][]byte{"from": cas.From(), "to": cas.To()}
			after := lookAtSuccession(t, dir, cluster)
			if !bytes.Equal(after.files.CA, pem[c.stays]) || after.inputs.Identity != before.inputs.Identity || after.files.Token != before.files.Token {
				t.Errorf("afterwards the CA is another one, or the cluster is known by %s and %s", after.inputs.Identity, after.files.Token)
			}
			if left, err := filepath.Glob(filepath.Join(dir, "*", "ca.key")); err != nil || len(left) != 1 {
				t.Errorf("there are the keys %v, %v", left, err)
			}
			// And a second one, of what was made by the first.
			again, err := OpenEtcdCAs(t.Context(), dir, cluster)
			if err != nil {
				t.Fatal(err)
			}
			if err := again.Begin(t.Context(), certs.PhaseTrust, false); err != nil {
				t.Fatal(err)
			}
			if second := lookAtSuccession(t, dir, cluster); second.inputs.Identity != before.inputs.Identity || len(second.inputs.EtcdCAs) != 2 {
				t.Errorf("a second rotation: %+v", second.inputs)
			}
		})
	}
}

// TestSuccessionSignsForBoth: during a rotation the one that signs takes over what the other has
// signed, and nothing of strangers.
func TestSuccessionSignsForBoth(t *testing.T) {
	dir, cluster := t.TempDir(), successionCluster()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := makeAuthority(t.Context(), dir, cluster.Metadata.Name, nil); err != nil {
		t.Fatal(err)
	}
	old := lookAtSuccession(t, dir, cluster).files
	cas, err := OpenEtcdCAs(t.Context(), dir, cluster)
	if err != nil {
		t.Fatal(err)
	}
	for _, phase := range []certs.Phase{certs.PhaseTrust, certs.PhaseIssue} {
		if err := cas.Begin(t.Context(), phase, false); err != nil {
			t.Fatal(err)
		}
	}
	signer, err := cas.Signer(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	request, err := pki.RenewalRequest(old.ServerCert, old.ServerKey)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(cluster.Spec.Hosts[0], map[string]certs.Pending{certs.EtcdServer: {Current: old.ServerCert, Request: request}})
	if err != nil {
		t.Fatal(err)
	}
	if err := pki.IssuedBy(cas.To(), signed.Certificates[certs.EtcdServer]); err != nil {
		t.Error(err)
	}
	for _, one := range [][]byte{old.ServerCert, signed.Certificates[certs.EtcdServer]} {
		cert, err := pki.ParseCert(one)
		if err != nil {
			t.Fatal(err)
		}
		if err := signer.Signed(cert); err != nil {
			t.Error(err)
		}
	}
	strangers, err := pki.NewCA("somebody's", 0)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := newAuthority("c", strangers)
	if err != nil {
		t.Fatal(err)
	}
	files, err := stranger.files(cluster.Spec.Hosts[0])
	if err != nil {
		t.Fatal(err)
	}
	if request, err = pki.RenewalRequest(files.ServerCert, files.ServerKey); err != nil {
		t.Fatal(err)
	}
	if _, err := signer.Sign(cluster.Spec.Hosts[0], map[string]certs.Pending{certs.EtcdServer: {Current: files.ServerCert, Request: request}}); !errors.Is(err, pki.ErrOtherCA) {
		t.Errorf("what a stranger has signed: %v", err)
	}
}

// TestSuccessionIsDamaged: a file that can't be read is an error, and never a cluster of another CA.
func TestSuccessionIsDamaged(t *testing.T) {
	for name, content := range map[string]string{"empty": "", "half": `{"identity": "a`, "names nothing": "{}", "a CA that is gone": `{"identity":"a","ca":"etcd-gone"}`} {
		t.Run(name, func(t *testing.T) {
			dir, cluster := t.TempDir(), successionCluster()
			if err := os.Chmod(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if _, err := makeAuthority(t.Context(), dir, cluster.Metadata.Name, nil); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, successionFile), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if a, err := makeAuthority(t.Context(), dir, cluster.Metadata.Name, nil); err == nil {
				t.Errorf("it was taken for the CA of %s", a.identity())
			}
			if a, err := openAuthority(t.Context(), dir, cluster.Metadata.Name); err == nil {
				t.Errorf("it was taken for the CA of %s", a.identity())
			}
		})
	}
}

// TestSuccessionPastReturn: once the last phase has begun there is no way back, whatever the cluster's
// note of it says: it may be that of a backup from before.
func TestSuccessionPastReturn(t *testing.T) {
	dir, cluster := t.TempDir(), successionCluster()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := makeAuthority(t.Context(), dir, cluster.Metadata.Name, nil); err != nil {
		t.Fatal(err)
	}
	cas, err := OpenEtcdCAs(t.Context(), dir, cluster)
	if err != nil {
		t.Fatal(err)
	}
	for _, phase := range certs.Phases() {
		if err := cas.Begin(t.Context(), phase, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := cas.Begin(t.Context(), certs.PhaseIssue, true); err == nil {
		t.Error("it is taken back although not everybody trusts the former CA any more")
	}
	// A run that ended between the note and the removal of the key.
	kept, err := os.ReadFile(filepath.Join(dir, "etcd", "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := cas.Complete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "etcd"), 0o700), os.WriteFile(filepath.Join(dir, "etcd", "ca.key"), kept, 0o600)); err != nil {
		t.Fatal(err)
	}
	if cas, err = OpenEtcdCAs(t.Context(), dir, cluster); err != nil {
		t.Fatal(err)
	}
	if err := cas.Complete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*", "ca.key")); err != nil || len(left) != 1 {
		t.Errorf("there are the keys %v, %v", left, err)
	}
	// The first CA is not made anew.
	if a, err := makeAuthority(t.Context(), dir, cluster.Metadata.Name, nil); err != nil || !bytes.Equal(a.ca.CertPEM, cas.From()) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "etcd")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a CA etcd again: %v", err)
	}
}
