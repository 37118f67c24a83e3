package inventory

// beside is an INI inventory of three hosts with files beside it.
func beside(files map[string]string) inventoryCase {
	const hosts = "[primary_master]\nm1\n[secondary_masters]\nm2\n[masters:children]\nprimary_master\nsecondary_masters\n" +
		"[minions]\nw1\n[nodes:children]\nmasters\nminions\n[my_cluster:children]\nnodes\n"
	all := map[string]string{"my-cluster.inventory": hosts}
	for name, text := range files {
		all[name] = text
	}
	return inventoryCase{"my-cluster.inventory", all}
}

func alone(name, text string) inventoryCase {
	return inventoryCase{name, map[string]string{name: text}}
}

// inventoryCases are inventories by the name of their recording.
func inventoryCases() map[string]inventoryCase {
	out := map[string]inventoryCase{}
	for _, part := range []map[string]inventoryCase{fileCases(), orderCases(), iniCases(), yamlCases()} {
		for name, tc := range part {
			out[name] = tc
		}
	}
	return out
}

// fileCases are about which files count.
func fileCases() map[string]inventoryCase {
	return map[string]inventoryCase{
		"folders": beside(map[string]string{"group_vars/all/main.yml": "A: all\nB: all\n", "group_vars/my_cluster/vars.yml": "B: cluster\n",
			"host_vars/m1.yml": "ansible_host: 10.0.0.1\n", "host_vars/m2/address.yaml": "ansible_host: 10.0.0.2\n", "host_vars/w1": "ansible_host: 10.0.0.3\n"}),
		"folders-in-order": beside(map[string]string{"group_vars/all/b.yml": "A: b\nB: b\n", "group_vars/all/a.yml": "A: a\nC: a\n",
			"group_vars/all/Z.yml": "C: Z\nA: Z\n", "group_vars/all/a/deep.yml": "A: a/deep\nD: a/deep\n", "group_vars/all/c/d/e.json": `{"D": "c/d/e"}`,
			"group_vars/all/10": "N: ten\n", "group_vars/all/9": "N: nine\n"}),
		"ignored": beside(map[string]string{"group_vars/all.yaml": "A: right\n", "group_vars/all.yaml~": "A: backup\n",
			"group_vars/masters/.hidden.yml": "A: hidden\n", "group_vars/masters/x.yml~": "A: backup\n", "group_vars/masters/x.yml.bak": "A: bak\n",
			"group_vars/masters/x.txt": "A: text\n", "group_vars/masters/x.ini": "A=ini\n", "group_vars/masters/dir.d/x.yml": "A: dir.d\n",
			"group_vars/masters/.git/x.yml": "A: git\n", "group_vars/masters/dir~/x.yml": "A: dir~\n", "group_vars/minions.txt": "A: txt\n",
			"group_vars/.nodes.yml": "A: hidden\n", "host_vars/m1.yml.orig": "A: orig\n"}),
		"first-extension": beside(map[string]string{"group_vars/all": "A: none\n", "group_vars/all.yml": "A: yml\nB: yml\n",
			"group_vars/masters.yml": "C: yml\n", "group_vars/masters.yaml": "C: yaml\nD: yaml\n", "group_vars/minions.yaml": "E: yaml\n",
			"group_vars/minions.json": `{"E": "json", "F": "json"}`, "group_vars/nodes/x.yml": "G: folder\n", "group_vars/nodes.yml": "G: file\nH: file\n",
			"group_vars/my_cluster.json": "{\n\t\"I\": [1, 2.5, true, null, \"\\u00e9\"]\n}"}),
		"dash-is-no-underscore": beside(map[string]string{"group_vars/my-cluster.yaml": "A: dash\n", "group_vars/my_cluster.yaml": "B: underscore\n",
			"group_vars/My_Cluster.yml": "C: capitals\n", "group_vars/primary-master.yml": "D: dash\n"}),
		"named-like-the-inventory": {"blue.inventory", map[string]string{"blue.inventory": "[masters]\nm1\n[green:children]\nmasters\n",
			"group_vars/blue.yaml": "A: blue\n", "group_vars/green.yaml": "B: green\n"}},
		"in-a-folder": {"inventories/prod/hosts", map[string]string{"inventories/prod/hosts": "[masters]\nm1\n"}},
		"dots-in-names": {"hosts", map[string]string{"hosts": "[masters]\nm1.example.com\n10.0.0.1\n[v1.2:children]\nmasters\n",
			"host_vars/m1.example.com": "A: name\n", "host_vars/10.0.0.1.yml": "A: address\n", "host_vars/m1.yml": "B: short\n",
			"group_vars/v1.2/x.yml": "C: group\n", "group_vars/v1.yml": "D: stem\n"}},
		"empty-files": beside(map[string]string{"group_vars/all.yml": "", "group_vars/masters.yml": "---\n", "group_vars/minions.yml": "# nothing\n",
			"host_vars/m1.yml": "---\nA: 1\n...\n", "host_vars/w1.yml": "{}\n"}),
		"ungrouped-and-all": {"hosts", map[string]string{"hosts": "lone\nm1 A=own\n[masters]\nm1\n[all:vars]\nB=inventory\nC=inventory\n[ungrouped:vars]\nD=ungrouped\n",
			"group_vars/all.yml": "C: file\n", "group_vars/ungrouped.yml": "E: ungrouped\n"}},
		"text-instead":     beside(map[string]string{"group_vars/all/README": "About these variables\n"}),
		"list-instead":     beside(map[string]string{"group_vars/all.yml": "- a\n- b\n"}),
		"broken":           beside(map[string]string{"group_vars/all.yml": "a: [\n"}),
		"two-documents":    beside(map[string]string{"group_vars/all.yml": "a: 1\n---\na: 2\n"}),
		"broken-elsewhere": beside(map[string]string{"group_vars/stranger.yml": "a: [\n"}),
	}
}

// orderCases are about who decides.
func orderCases() map[string]inventoryCase {
	return map[string]inventoryCase{
		"precedence": {"hosts", map[string]string{
			"hosts": "[masters]\nm1 A=line B=line\nm2 A=line\n[b]\nm1\n[a]\nm1\n[up:children]\nmasters\n[top:children]\nup\n" +
				"[all:vars]\nC=all\nD=all\nE=all\nF=all\nG=all\n[top:vars]\nD=top\nE=top\n[up:vars]\nE=up\n[masters:vars]\nF=masters\nH=masters\n" +
				"[a:vars]\nI=a\nJ=a\n[b:vars]\nI=b\n",
			"group_vars/all.yml": "G: file\nF: file\nJ: file\n", "group_vars/top.yml": "E: top file\nK: top file\n", "group_vars/up.yml": "K: up file\nH: up file\n",
			"group_vars/a.yml": "L: a\nI: a file\n", "group_vars/b.yml": "L: b\n", "host_vars/m1.yml": "B: host file\nL: host file\n"}},
		"depth-before-name": {"hosts", map[string]string{
			"hosts":            "[a]\nm1\n[z]\nm1\n[deep:children]\na\n[deeper:children]\ndeep\n",
			"group_vars/a.yml": "A: a\n", "group_vars/z.yml": "A: z\n", "group_vars/deep.yml": "B: deep\n", "group_vars/deeper.yml": "B: deeper\n", "group_vars/all.yml": "B: all\n"}},
		"depth-is-the-longest-way": {"hosts", map[string]string{
			"hosts":              "[top:children]\nshared\nmid\n[mid:children]\nlow\n[low:children]\nshared\n[shared]\nm1\n[other:children]\nside\n[side]\nm1\n",
			"group_vars/low.yml": "A: low\n", "group_vars/side.yml": "A: side\nB: side\n", "group_vars/shared.yml": "B: shared\n", "group_vars/mid.yml": "A: mid\nB: mid\n"}},
		"priority": {"hosts", map[string]string{
			"hosts":            "[a]\nm1\n[b]\nm1\n[c]\nm1\n[a:vars]\nansible_group_priority=10\nA=a\nB=a\n[b:vars]\nA=b\nB=b\n[c:vars]\nansible_group_priority='2'\nA=c\nC=c\n[up:children]\na\n[up:vars]\nansible_group_priority=99\nA=up\n",
			"group_vars/a.yml": "D: a\n", "group_vars/b.yml": "D: b\n", "group_vars/c.yml": "D: c\nansible_group_priority: 100\n"}},
		"priority-is-no-number": alone("hosts", "[a]\nm1\n[a:vars]\nansible_group_priority=high\n"),
		"replaced-not-merged": beside(map[string]string{"group_vars/all.yml": "A: {x: 1, y: 2}\nB: [1, 2]\nC: set\n",
			"group_vars/masters.yml": "A: {x: 3}\nB: [3]\nC:\n"}),
		"many-groups-of-a-host": alone("hosts", "[b]\nm1\n[a:children]\nb\nc\n[c]\nm2\nm1\n[d:children]\nc\nb\n[e]\nm3\n[a:vars]\nX=a\n[d:vars]\nX=d\n"),
		"host-like-a-group":     alone("hosts", "[masters]\nmasters ansible_host=10.0.0.1\nm2\n[etcd]\nm2 A=1\nmasters B=2\n"),
		"circle":                alone("hosts", "[a:children]\nb\n[b:children]\na\n"),
		"circle-of-one":         alone("hosts", "[a:children]\na\n"),
	}
}

// iniCases are about the INI form.
func iniCases() map[string]inventoryCase {
	return map[string]inventoryCase{
		"ini-values": alone("hosts", "[masters]\nm1 i=5 neg=-3 f=1.30 f2=1.0 e=1e3 oct=0755 hex=0x10 under=1_000 yes=yes t=True n=None s='a b' d=\"x\\\"y\" "+
			"list=[1,'a'] ip=10.0.0.1 v=v1.2 eq=a=b empty= q=\"'quoted'\" path=~/.ssh/id tmpl='{{ x }}' dash=- plus=+5 zero=00 comma=1,2 dict={'a':1} str=\"'a' 'b'\"\n"+
			"[masters:vars]\nA = 1.30\nB = 'single'\nC = \"double\"\nD = text # comment\nE = 5 # comment\nF = [1, 2.0, True, None, ('a', 'b'), ()]\nG = {'a': {'b': 'c'}}\n"+
			"H='a\\nb'\nI=r'a\\nb'\nJ=\nK=a b  c\nL='open\nM=10.0.0.0/16\nN=(1)\nO=(1,)\nP='\\x41\\u00e9'\nQ=[1\nR=\"it's\"\nS=5m\nT='a'b\nU=1 2\nV==x\nW=0o17\nX=1.\nY=.5\nZ=false\n"),
		"ini-lines": alone("hosts", "# comment\n; comment\n\nlone  A=1 # comment\n[masters] # comment\n  m1   A=b#c  B='#'\t\n\tm2 A=\"x y\" B=x\" y\"\n[nodes:children] # all\nmasters # these\n"+
			"[masters:hosts]\nm3\n[masters]\nm1 C=again\n[nodes:vars]\nkey with blanks = 1\n"),
		"ini-windows":            alone("hosts", "[masters]\r\nm1 A=1\r\n[masters:vars]\r\nB=text\r\n"),
		"ini-ranges":             alone("hosts", "[a]\nm[1:3]\nn[08:10].example.com\nr[a:c]-[1:2]\ns[1:9:4]\nt[:2]\nu[y:B]\n10.0.0.[1:2]\n[b]\nm[1:2] A=range\n"),
		"ini-ports":              alone("hosts", "m1:2222\nm2:22 ansible_port=23\n[a]\nm3\nm3:24\n[2001:db8::1]:25\n2001:db8::2\n10.0.0.1:26\nm[4:5]:27\n_x:28\n[m6]:29\nm7:0\n"),
		"ini-pending":            alone("hosts", "[top:children]\nlate\nearly\n[early]\nm1\n[late:children]\nlater\n[later]\nm2\n[vars-first:vars]\nA=1\n[vars-first]\nm3\n"),
		"ini-all":                alone("hosts", "[all:children]\nb\na\n[a]\nm1\n[b]\nm2\n[all]\nm3\n"),
		"ini-repeated":           alone("hosts", "[a]\nm1 A=1 B=1\nm1 A=2\n[a:vars]\nX=1\nX=2\n[b:children]\na\na\n"),
		"ini-refused-child":      alone("hosts", "[a:children]\nnowhere\n"),
		"ini-refused-vars":       alone("hosts", "[a:vars]\nb=c\n"),
		"ini-refused-section":    alone("hosts", "[a b]\nm1\n"),
		"ini-refused-kind":       alone("hosts", "[a:hosts2]\nm1\n"),
		"ini-refused-word":       alone("hosts", "[a]\nm1 oops\n"),
		"ini-refused-quote":      alone("hosts", "[a]\nm1 A='x\n"),
		"ini-refused-colon":      alone("hosts", "[a]\nm1:\n"),
		"ini-refused-range":      alone("hosts", "[a]\nm[08:100]\n"),
		"ini-refused-open-range": alone("hosts", "[a]\nm[1:\n"),
		"ini-refused-group":      alone("hosts", "[a:children]\nb c\n"),
		"ini-refused-assignment": alone("hosts", "[a]\nm1\n[a:vars]\nnothing\n"),
	}
}

// yamlCases are about the YAML form, and YAML's values.
func yamlCases() map[string]inventoryCase {
	return map[string]inventoryCase{
		"yaml": {"hosts.yaml", map[string]string{
			"hosts.yaml": "all:\n  hosts:\n    lone:\n  vars:\n    A: all\n  children:\n    masters:\n      hosts:\n        m1: {ansible_host: 10.0.0.1}\n        m2:\n          ansible_host: 10.0.0.2\n          ansible_port: 2222\n" +
				"      vars:\n        A: masters\n        ansible_group_priority: 5\n    minions:\n      hosts:\n        w[1:2]:\n          B: 1\n    nodes:\n      children:\n        masters:\n        minions: {}\n",
			"group_vars/nodes.yml": "C: nodes\n", "host_vars/m1.yml": "D: m1\n"}},
		"yaml-without-ending":   alone("hosts", "---\nmasters:\n  hosts:\n    m1:\n    m2:22:\n"),
		"yaml-groups-on-top":    alone("i.yml", "z:\n  hosts:\n    m1:\na:\n  hosts: m2\n  vars:\n    x: 1\nup:\n  children: z\nempty:\n"),
		"yaml-json":             alone("hosts.json", "{\n\t\"all\": {\"children\": {\"masters\": {\"hosts\": {\"m2\": {}, \"m1\": {\"A\": 1.5}}}}}\n}\n"),
		"yaml-unexpected":       alone("i.yml", "masters:\n  hosts:\n    m1:\n  host:\n    m2:\n  note: text\nother: text\n"),
		"yaml-anchors":          alone("i.yml", "all:\n  vars:\n    base: &base {A: 1, B: 1}\n    over: &over {B: 2, C: 2}\n  children:\n    masters:\n      hosts:\n        m1:\n          <<: *base\n          B: own\n        m2:\n          <<: [*base, *over]\n        m3: *over\n"),
		"yaml-twice":            alone("i.yml", "all:\n  hosts:\n    m1: {A: 1, B: 1, A: 2}\n    m2:\n    m1: {C: 3}\n"),
		"yaml-members-repeated": alone("i.yml", "all:\n  children:\n    a:\n      hosts:\n        m1: {A: 1}\n    b:\n      hosts:\n        m1: {A: 2, B: 1}\n      children:\n        a:\n          vars: {X: 1}\n"),
		"yaml-values": beside(map[string]string{"group_vars/all.yml": "bools: [yes, No, on, OFF, true, y, 'yes', \"no\"]\nints: [1, -2, +3, 010, 0x1F, 0b11, 1_000, 190:20, 08, 0o17]\n" +
			"floats: [1.30, .5, 1., -1.5, 1e3, 1.5e+3, 1.5e3, 6.02e23]\nnulls: [~, null, '', '~', Null]\ntexts: [10.0.0.1, 'a', \"b\\n\", 1.2.3, v1, =x, 5m, 10.0.0.0/16]\nblock: |\n  a\n  b\nfolded: >-\n  a\n  b\n" +
			"tagged: [!!str 5, !!int '7', !!float '1.5', !unsafe '{{ x }}']\ntemplate: \"{{ groups['masters'][0] }}\"\nnested: {a: {b: [c]}}\nvault: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  3033\n"}),
		"yaml-keys-repeated":     beside(map[string]string{"group_vars/all.yml": "A: 1\nB: &b {x: 1}\nA: 2\nC: {<<: *b, y: 2}\n"}),
		"yaml-unknown-tag":       beside(map[string]string{"group_vars/all.yml": "A: !mine x\n"}),
		"yaml-refused-list":      alone("i.yml", "all:\n  hosts:\n  - m1\n"),
		"yaml-refused-number":    alone("i.yml", "all:\n  hosts:\n    1:\n"),
		"yaml-refused-plugin":    alone("i.yml", "plugin: nobodys.collection.plugin\n"),
		"yaml-refused-variables": alone("i.yml", "all:\n  hosts:\n    m1: text\n"),
		"yaml-refused-circle":    alone("i.yml", "a:\n  children:\n    b:\n      children:\n        a:\n"),
		"yaml-refused-priority":  alone("i.yml", "a:\n  hosts:\n    m1:\n  vars:\n    ansible_group_priority: high\n"),
	}
}
