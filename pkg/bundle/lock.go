package bundle

import "os"

// TryLock takes a file's advisory lock, which goes when the file is closed or
// the process ends; false when another process has it, and always where the
// system has no such locks.
func TryLock(f *os.File) (bool, error) { return tryLock(f) }
