package main

import "path/filepath"

// etcd adds the flags of one version of etcd. Those that it takes and ignores
// (config.ignored) are not among them: who gives one believes in something.
func etcd(to table, dir, minor string) error {
	for _, folder := range []string{"embed", "etcdmain"} {
		s, err := parse(filepath.Join(dir, folder), "config.go", "config_flags.go")
		if err != nil {
			return err
		}
		s.flags(func(name, kind string) { to.add(minor, "etcd", name, kind) })
	}
	if minor != "3.5" { // ServerFeatureGate.AddFlag, since 3.6
		to.add(minor, "etcd", "feature-gates", "boolmap")
	}
	return nil
}
