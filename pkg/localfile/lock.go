package localfile

import "os"

// TryLock takes a file's advisory lock without waiting; false when another process, or another
// open file of this one, has it. The lock goes when the file is closed or the process ends,
// however it ends. The file should stay: to remove it would let two in.
//
// Where the system has no such locks the error is errors.ErrUnsupported.
func TryLock(f *os.File) (bool, error) { return tryLock(f) }
