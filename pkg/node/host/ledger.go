package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// ledgerFormat is the version of the ledger's lines.
	ledgerFormat = 1
	ledgerFile   = StateDir + "/ledger.jsonl"
	originalsDir = StateDir + "/originals"
)

// Actions of ledger entries.
const (
	ActionCreate  = "create"
	ActionReplace = "replace"
	ActionRemove  = "remove"
	ActionRun     = "run"
	ActionEnable  = "enable"
	ActionDisable = "disable"
	ActionRecord  = "record"
	// ActionDone marks a task that ended well.
	ActionDone = "done"
	// ActionIdentity notes which cluster of its name it is that the host belongs to.
	ActionIdentity = "identity"
)

// Kinds of what entries are about; Record takes further ones.
const (
	KindFile      = "file"
	KindDirectory = "directory"
	KindLink      = "link"
	KindUnit      = "unit"
	KindCommand   = "command"
	KindTask      = "task"
	KindCluster   = "cluster"
)

// Entry is one line of the ledger. It never holds a secret.
type Entry struct {
	Time time.Time `json:"time"`
	// Step is the plan's step, such as etcd/cp1.
	Step   string `json:"step,omitempty"`
	Action string `json:"action"`
	Kind   string `json:"kind"`
	Target string `json:"target"`
	// Original is what was there before kubectl-ha first touched the target.
	// Only the first entry since the target's creation or last removal by us has
	// it; a first entry without one means that there was nothing.
	Original *Original `json:"original,omitempty"`
	Note     string    `json:"note,omitempty"`
}

// Original describes what was replaced.
type Original struct {
	// SHA256 names a regular file's content in StateDir/originals.
	SHA256 string      `json:"sha256,omitempty"`
	Mode   fs.FileMode `json:"mode,omitempty"`
	UID    int         `json:"uid"`
	GID    int         `json:"gid"`
	// Link is a symbolic link's target.
	Link string `json:"link,omitempty"`
	// State is a unit's before: its UnitFileState and ActiveState.
	State string `json:"state,omitempty"`
}

// header is the ledger's first line.
type header struct {
	Format  int       `json:"format"`
	Cluster string    `json:"cluster"`
	Created time.Time `json:"created"`
}

// BadLine is a line of the ledger that can't be read. It stays where it is.
type BadLine struct {
	// Number counts from 1, and Text is what of it is of no use.
	Number int
	Text   string
}

// String is the line for people, shortened.
func (b BadLine) String() string {
	return fmt.Sprintf("line %d of %s can't be read: %.120q", b.Number, ledgerFile, b.Text)
}

// Ledger is the host's memory of what kubectl-ha made or replaced there
// (StateDir/ledger.jsonl), with the originals of replaced files beside it. A
// line is on disk before what it tells of is done.
type Ledger struct {
	root string

	mu   sync.Mutex
	file *os.File // nil when it is only read
	head header
	// identity is the cluster's, see Identity.
	identity string
	entries  []Entry
	// bad are the lines that can't be read.
	bad []BadLine
	// broken is why no further line may be written: a part of one could not be taken away.
	broken error
	// known has the targets that are ours by kind and name.
	known map[string]bool
	done  []string
	// settings are those with which a task ended well last.
	settings map[string]string
}

// OpenLedger opens the host's ledger for a cluster, or begins one. It is an
// error when the host belongs to another cluster.
func OpenLedger(root, cluster string) (*Ledger, error) {
	if cluster == "" {
		return nil, errors.New("the cluster has no name: a ledger must have one")
	}
	if err := ensureStateDir(root); err != nil {
		return nil, err
	}
	path := filepath.Join(root, ledgerFile)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	l := &Ledger{root: root, file: file, known: map[string]bool{}, settings: map[string]string{}}
	if err := l.load(cluster); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return l, nil
}

// ReadLedger reads the host's ledger without a right to write into it. The
// error wraps fs.ErrNotExist when there is none.
func ReadLedger(root string) (*Ledger, error) {
	content, err := os.ReadFile(filepath.Join(root, ledgerFile))
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	l := &Ledger{root: root, known: map[string]bool{}, settings: map[string]string{}}
	if _, err := l.parse(content); err != nil {
		return nil, err
	}
	if l.head.Format == 0 {
		return nil, fmt.Errorf("the ledger %s was never begun: %w", ledgerFile, fs.ErrNotExist)
	}
	return l, nil
}

// load reads what is there, cuts off a line torn by a crash, and writes the
// first line of a new ledger. Nobody writes meanwhile.
func (l *Ledger) load(cluster string) (err error) {
	if err := lockWait(l.file); err != nil {
		return fmt.Errorf("lock the ledger: %w", err)
	}
	defer func() { err = errors.Join(err, unlock(l.file)) }()
	content, err := os.ReadFile(l.file.Name())
	if err != nil {
		return fmt.Errorf("read the ledger: %w", err)
	}
	whole, err := l.parse(content)
	if err != nil {
		return err
	}
	if whole < len(content) {
		// What the torn line would have told of was not begun.
		if err := l.file.Truncate(int64(whole)); err != nil {
			return fmt.Errorf("cut the torn last line off the ledger: %w", err)
		}
	}
	if l.head.Format != 0 {
		return l.CheckCluster(cluster)
	}
	l.head = header{Format: ledgerFormat, Cluster: cluster, Created: time.Now().UTC()}
	if err := l.writeLine(l.head); err != nil {
		return err
	}
	return syncDir(filepath.Dir(l.file.Name()))
}

// parse reads whole lines and returns the length of them together.
func (l *Ledger) parse(content []byte) (whole int, err error) {
	for number := 1; ; number++ {
		end := bytes.IndexByte(content[whole:], '\n')
		if end < 0 {
			return whole, nil
		}
		line := content[whole : whole+end]
		whole += end + 1
		if number == 1 {
			if err := json.Unmarshal(line, &l.head); err != nil || l.head.Format == 0 {
				return 0, fmt.Errorf("%s is no ledger of kubectl-ha: its first line can't be read", ledgerFile)
			}
			if l.head.Format > ledgerFormat {
				return 0, fmt.Errorf("%s was written by a later version of kubectl-ha (format %d, known are up to %d): use that version", ledgerFile, l.head.Format, ledgerFormat)
			}
			continue
		}
		var e Entry
		if json.Unmarshal(line, &e) == nil {
			l.remember(e)
			continue
		}
		// A line that could be written in part only, on a full disk, has the next one right
		// behind it. What the torn part would have told of was not begun.
		torn := line
		for at := 1; at < len(line); at++ {
			if bytes.HasPrefix(line[at:], []byte(entryStart)) && json.Unmarshal(line[at:], &e) == nil {
				torn = line[:at]
				l.remember(e)
				break
			}
		}
		l.bad = append(l.bad, BadLine{Number: number, Text: string(torn)})
	}
}

// entryStart is how each entry begins: Time is the first field of Entry.
const entryStart = `{"time":"`

// BadLines are the lines that can't be read: the disk was full, or somebody wrote into the
// ledger. What they told of is not known, and all other lines count.
func (l *Ledger) BadLines() []BadLine {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.bad)
}

// remember takes an entry into what is known.
func (l *Ledger) remember(e Entry) {
	l.entries = append(l.entries, e)
	switch e.Action {
	case ActionDone:
		if !slices.Contains(l.done, e.Target) {
			l.done = append(l.done, e.Target)
		}
		l.settings[e.Target] = e.Note
	case ActionRemove:
		for _, kind := range []string{KindFile, KindDirectory, KindLink} {
			delete(l.known, key(kind, e.Target))
		}
	case ActionRestore:
		delete(l.known, key(e.Kind, e.Target))
	case ActionIdentity:
		l.identity = e.Target
	case ActionRun:
	default:
		l.known[key(e.Kind, e.Target)] = true
	}
}

func key(kind, target string) string { return kind + " " + target }

// append writes an entry to disk.
func (l *Ledger) append(e Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Time = time.Now().UTC()
	if l.file != nil {
		// A task beside may just be reading it, or writing a line of its own.
		if err := lockWait(l.file); err != nil {
			return fmt.Errorf("lock the ledger: %w", err)
		}
	}
	err := l.writeLine(e)
	if l.file != nil {
		err = errors.Join(err, unlock(l.file))
	}
	if err != nil {
		return err
	}
	l.remember(e)
	return nil
}

// writeLine appends one line and waits until it is on disk. Of a line that can't be
// written whole nothing stays, so that the next one is a line of its own. The file is locked.
func (l *Ledger) writeLine(v any) (err error) {
	if l.file == nil {
		return errors.New("the ledger was opened only to be read")
	}
	if l.broken != nil {
		return l.broken
	}
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode a line of the ledger: %w", err)
	}
	before, err := l.file.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	defer func() {
		if err == nil {
			return
		}
		if cut := l.file.Truncate(before); cut != nil {
			l.broken = fmt.Errorf("the ledger ends in a part of a line, which can't be taken away: %w", cut)
			err = errors.Join(err, l.broken)
		}
	}()
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("write the ledger to disk: %w", err)
	}
	return nil
}

// Cluster is the name of the cluster the host belongs to.
func (l *Ledger) Cluster() string { return l.head.Cluster }

// CheckCluster is an error when the host belongs to another cluster.
func (l *Ledger) CheckCluster(cluster string) error {
	if l.head.Cluster == cluster {
		return nil
	}
	return WithHint(fmt.Errorf("this host belongs to the cluster %q, not to %q", l.head.Cluster, cluster),
		fmt.Sprintf("take it out of the cluster %q first, or leave it out of this one (%s on the host says what was done there)", l.head.Cluster, ledgerFile))
}

// Identity tells clusters of one name apart: it is the hex SHA-256 of the first etcd CA's
// certificate (DER), which no two clusters share. Empty when nobody who knew it has worked
// on the host yet: a version of before it, or a workstation without that CA.
func (l *Ledger) Identity() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.identity
}

// CheckIdentity is an error when the host is known to belong to another cluster, even if that
// has the same name. An empty identity is not compared.
func (l *Ledger) CheckIdentity(identity string) error {
	known := l.Identity()
	if identity == "" || known == "" || known == identity {
		return nil
	}
	return WithHint(fmt.Errorf("this host belongs to another cluster that is called %q as well: the etcd CA of that is %.12s, of this one %.12s", l.head.Cluster, known, identity),
		"compare the hosts' addresses in the Cluster file: one of them is the other cluster's")
}

// Identify notes the cluster's identity, once. An empty one is not noted, another one than is
// known is an error.
func (l *Ledger) Identify(identity string) error {
	if err := l.CheckIdentity(identity); err != nil || identity == "" || l.Identity() != "" {
		return err
	}
	return l.append(Entry{Action: ActionIdentity, Kind: KindCluster, Target: identity})
}

// Entries returns all entries, in order.
func (l *Ledger) Entries() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}

// Knows tells whether a target of a kind is ours: made, replaced or recorded
// by us, and not removed since.
func (l *Ledger) Knows(kind, target string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.known[key(kind, target)]
}

// Owns tells whether a path, or a directory above it, is ours. The state
// directory itself always is.
func (l *Ledger) Owns(path string) bool {
	if path == StateDir || strings.HasPrefix(path, StateDir+"/") {
		return true
	}
	if l.Knows(KindFile, path) || l.Knows(KindLink, path) {
		return true
	}
	for p := path; p != "/" && p != "."; p = filepath.Dir(p) {
		if l.Knows(KindDirectory, p) {
			return true
		}
	}
	return false
}

// Done marks a task as one that ended well, once.
func (l *Ledger) Done(task string) error { return l.DoneWith(task, "") }

// DoneWith marks a task as one that ended well with the given settings, once as
// long as they stay the same.
func (l *Ledger) DoneWith(task, settings string) error {
	if slices.Contains(l.DoneTasks(), task) && l.Settings()[task] == settings {
		return nil
	}
	return l.append(Entry{Action: ActionDone, Kind: KindTask, Target: task, Note: settings})
}

// Settings are those with which tasks ended well last, by task.
func (l *Ledger) Settings() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.settings)
}

// DoneTasks lists the tasks that ended well at least once.
func (l *Ledger) DoneTasks() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.done)
}

// Close closes the file.
func (l *Ledger) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
