# Runs a program in a pseudo terminal: terminal.py COLUMNS ROWS PROGRAM ARGUMENT...
# Its output goes to standard output. Each line of standard input is "keys TEXT" or "size COLUMNS ROWS".
import fcntl
import os
import pty
import select
import struct
import sys
import termios


def resize(fd, columns, rows):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", int(rows), int(columns), 0, 0))


child, terminal = pty.fork()
if child == 0:
    # The size is there before the program looks.
    resize(0, sys.argv[1], sys.argv[2])
    os.execvp(sys.argv[3], sys.argv[3:])

while True:
    ready, _, _ = select.select([terminal, 0], [], [])
    if terminal in ready:
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        os.write(1, data)
    if 0 in ready:
        for line in os.read(0, 65536).decode().splitlines():
            what, _, rest = line.partition(" ")
            if what == "keys":
                os.write(terminal, rest.encode())
            elif what == "size":
                resize(terminal, *rest.split(" "))
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
