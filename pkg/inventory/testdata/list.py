"""Runs `ansible-inventory -i FILE --list` for every FILE that is an argument, each
in a process of its own, and prints a list of what came: code, out, err. It is the
program's own main function; only loading it, which takes longest, is done once."""

import json
import os
import sys
import tempfile

# The folder of this file has one that is called ansible.
sys.path.pop(0)

from ansible.cli.inventory import main  # noqa: E402


def run(path):
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            code = 70
            try:
                main(["ansible-inventory", "-i", path, "--list"])
                code = 0
            except SystemExit as e:
                code = e.code if isinstance(e.code, int) else 1 if e.code else 0
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        out.seek(0)
        err.seek(0)
        return {"code": os.waitstatus_to_exitcode(status), "out": out.read().decode(), "err": err.read().decode()}


print(json.dumps([run(path) for path in sys.argv[1:]]))
