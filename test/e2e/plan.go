package e2e

import (
	"fmt"
	"regexp"
	"strings"
)

// place is the lab that a test runs on.
type place int

// The places, in the order in which their tests run.
const (
	// own: a lab that the test makes and takes down. These come first, since no other
	// cluster is up then: some of them demand that no request is lost.
	own place = iota
	// none: no lab at all.
	none
	// shared: the one cluster of the run. Its tests leave it as they found it.
	shared
	// disturbed: a copy of the shared cluster, frozen when it was new. Its tests break
	// something and see it mended; a copy on which one failed is replaced by the next one.
	disturbed
	// consumed: a copy of the test's own, which is not the same cluster afterwards.
	consumed
)

// tier tells when a test runs.
type tier int

const (
	// quick is in `make test`: one way through every feature, and what takes less than two
	// minutes.
	quick tier = iota
	// long is in `make e2e-full` only: what takes longer, what loses hosts or replaces them,
	// what does to more hosts what a quick test does to one, and what happens to be the same
	// way through another program.
	long
)

// need is what one test wants of the lab, and in which tier it is.
type need struct {
	test string
	on   place
	tier tier
	// left is, of a long test, what `make test` has in its place; printed at its end.
	left string
}

// needs are those of all tests. The order within a place is the order in which they run.
func needs() []need {
	return []need{
		{test: "TestSeparateEtcdHosts", on: own},
		{test: "TestStacked", on: own},
		{test: "TestStackedUpgrade", on: own, tier: long, left: "TestStackedIsKept and TestStackedFloors, without a cluster; TestSeparateEtcdHosts/upgrade upgrades one with external etcd"},
		{test: "TestCoordinatorLost", on: own, tier: long, left: "TestEngine and TestCoordinators, with a real API server; TestBootstrapInterrupted kills who has them made"},
		{test: "TestBadInput", on: own},
		{test: "TestUninstall", on: own, tier: long, left: "TestWorkerLeavesAndComesBack takes it off one host"},
		{test: "TestUpgradeWithstands", on: own, tier: long, left: "TestSeparateEtcdHosts/upgrade upgrades one that is written to; nothing goes wrong in it"},
		{test: "TestAdoptedKeepalived", on: own, tier: long, left: "TestEndpoints of pkg/incluster/adopt, TestForeignEndpoint of pkg/incluster/upgrade and TestRelease of the task release, without a cluster; TestAdoptAndDoctorElsewhere adopts one that bootstrap made"},
		{test: "TestAdoptedName", on: own, tier: long, left: "TestEndpoints, TestForeignEndpoint and TestAPIEnv, without a cluster"},
		{test: "TestAdoptedNodeEndpoint", on: own, tier: long, left: "TestEndpoints and TestForeignEndpoint, without a cluster"},
		{test: "TestConvert", on: own, tier: long, left: "TestThereAndBack, TestPlan and TestUnfit of pkg/incluster/convert, and TestInACluster of pkg/action/convert with a real API server"},
		{test: "TestEtcdUpgrade", on: own, tier: long, left: "TestRealUpgrade, with three real members of etcd that are upgraded, put back and downgraded"},
		{test: "TestEtcdUpgradeApart", on: own, tier: long, left: "TestRunOverSSH, without hosts"},
		{test: "TestOwnCAs", on: own, tier: long, left: "TestOwnIntermediate, with a real etcd and API server; TestBootstrapWithOwnCAs and TestRotateEtcdToOwn, without hosts"},
		{test: "TestTwoNetworks", on: own, tier: long, left: "TestPreflight and TestNetworkObjects, without hosts"},
		{test: "TestUpgradeRemovesGates", on: own, tier: long, left: "TestPlanRemovesGates and TestRemoveGatesOfPatches, without a cluster; TestSeparateEtcdHosts/upgrade has no such gates"},
		{test: "TestNoexecVar", on: own, tier: long, left: "TestTryProgramsForReal, with mounts of the machine's own"},

		{test: "TestInstall", on: none},

		{test: "TestBootstrapInterrupted", on: shared},
		{test: "TestClusterShape", on: shared},
		{test: "TestSecondRunChangesNothing", on: shared},
		{test: "TestKubeconfigFileOfBootstrap", on: shared},
		{test: "TestKeysArePrivate", on: shared},
		{test: "TestEtcdCAKeyOnNoMember", on: shared},
		{test: "TestEtcdRefusesStrangers", on: shared},
		{test: "TestNodeJobsHaveNoToken", on: shared},
		{test: "TestAnotherClustersHosts", on: shared},
		{test: "TestKubeconfigVerb", on: shared},
		{test: "TestOperationVerbs", on: shared},
		{test: "TestStatus", on: shared},
		{test: "TestStatusDeep", on: shared},
		{test: "TestStatusWatch", on: shared},
		{test: "TestSupportBundle", on: shared},
		{test: "TestAdoptFindsTheCluster", on: shared},
		{test: "TestKubeconfigFor", on: shared},
		{test: "TestImagesPush", on: shared},
		{test: "TestImagesByRoleAndName", on: shared},
		{test: "TestNoSecretsInSight", on: shared},
		{test: "TestHostsReachNothingOutside", on: shared},
		{test: "TestAdvertisementInterval", on: shared},

		{test: "TestFailover", on: disturbed},
		{test: "TestEtcdMemberStopped", on: disturbed, tier: long, left: "TestFailover takes an API server and a whole host away; no member alone"},
		{test: "TestPartitionHealed", on: disturbed},
		{test: "TestSilentKubeletIsNotLost", on: disturbed},
		{test: "TestStatusOneAPIServer", on: disturbed},
		{test: "TestDoctorFix", on: disturbed},
		{test: "TestToolkitOfAGPU", on: disturbed, tier: long, left: "TestConfigureReal, with real containerds"},
		{test: "TestAdoptAndDoctorElsewhere", on: disturbed},
		{test: "TestImagesDisturbed", on: disturbed, tier: long, left: "TestImagesPush is not disturbed; pkg/bundle/swarm has peers that hang, lie and go"},
		{test: "TestImagesNodeStopped", on: disturbed, tier: long, left: "TestImagesPush loses no node"},
		{test: "TestAddons", on: disturbed},
		{test: "TestCertificatesRenewed", on: disturbed},
		{test: "TestScheduledRenewal", on: disturbed, tier: long, left: "TestRun, TestRunTells, TestRights and TestFollow of pkg/incluster/certs/schedule, with a real API server"},
		{test: "TestScheduledBackup", on: disturbed, tier: long, left: "TestAddons, where backups stay on the hosts; TestFinish of pkg/incluster/backups and TestRun, TestRights and TestTarget of its schedule, with a real API server"},
		{test: "TestLoadBalancer", on: disturbed},
		{test: "TestLoadBalancerRolled", on: disturbed, tier: long, left: "unit tests roll the agent of real haproxy under connections"},
		{test: "TestLoadBalancerNginx", on: disturbed, tier: long, left: "TestLoadBalancer does the same to haproxy, the default"},
		{test: "TestLoadBalancerIdle", on: disturbed, tier: long, left: "nothing: it waits ten minutes beside idle streams"},
		{test: "TestAllHostsStopped", on: disturbed, tier: long, left: "TestLoadBalancer kills one host, and has it back"},

		{test: "TestEtcdRestore", on: consumed, tier: long, left: "TestAllTheWay and TestInterrupted of pkg/node/tasks/restore, on a host that is played; TestOrder and TestResumes of pkg/action/restore"},
		{test: "TestEtcdRestoreInterrupted", on: consumed, tier: long, left: "TestEtcdRestore is not interrupted; TestInterrupted in pkg/node/tasks/restore kills each step"},
		{test: "TestEtcdRestoreFewer", on: consumed, tier: long, left: "TestRealFewerMembers of pkg/node/tasks/restore, with real members of etcd; TestAbsent and TestFewerMembers of pkg/action/restore"},
		{test: "TestBackupToS3", on: consumed, tier: long, left: "TestS3, with a real S3 server, and TestFolder; TestEtcdRestore takes a backup of the hosts"},
		{test: "TestReplaceControlPlane", on: consumed, tier: long, left: "TestWorkerLeavesAndComesBack removes and adds a worker; no control plane"},
		{test: "TestWorkerLeavesAndComesBack", on: consumed},
		{test: "TestLearnerOfADeadHost", on: consumed, tier: long, left: "TestRealLeftover, with a real etcd; TestStatesOfAJoin and TestEveryStateHasAWayOut, without hosts"},
		{test: "TestCertificatesForLife", on: consumed, tier: long, left: "TestRescueOfWhatHasEnded, with three real members of etcd; TestRealEtcd and TestRealAPIServer exchange certificates in use"},
		{test: "TestRotateCA", on: consumed, tier: long, left: "TestRotateKubernetes and its siblings, on a host that is played, ended at each of its questions"},
		{test: "TestRotateCAWithstands", on: consumed, tier: long, left: "TestEngine kills coordinators, with a real API server; nothing joins in the middle of a rotation"},
		{test: "TestControlPlaneLeavesAndComesBack", on: consumed, tier: long, left: "TestWorkerLeavesAndComesBack does so to a worker"},
	}
}

// pattern is what the test program's -run wants for one test; of run, a pattern of the
// user's, the part that is about subtests is kept.
func pattern(test, run string) string {
	p := "^" + test + "$"
	if _, below, ok := strings.Cut(run, "/"); ok {
		p += "/" + below
	}
	return p
}

// order chooses tests and puts them into the order in which they run: by place. run is a
// pattern as go test's -run takes it: with one, all that match are chosen, whatever their
// tier. Without one, long tests are left out unless full is set; they are returned as left.
func order(all []need, run string, full bool) (chosen, left []need, err error) {
	top, _, _ := strings.Cut(run, "/")
	match, err := regexp.Compile(top)
	if err != nil {
		return nil, nil, fmt.Errorf("-run %q: %w", run, err)
	}
	for p := own; p <= consumed; p++ {
		for _, n := range all {
			switch {
			case n.on != p || !match.MatchString(n.test):
			case run == "" && n.tier != quick && !full:
				left = append(left, n)
			default:
				chosen = append(chosen, n)
			}
		}
	}
	return chosen, left, nil
}
