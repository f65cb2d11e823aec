"""Runs a command of Python in a network of its own, which has loopback alone."""

import ctypes
import fcntl
import os
import socket
import struct
import sys

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
# Exit code where the system does not allow it.
NOT_ALLOWED = 77

if __name__ == "__main__":
    flags = CLONE_NEWNET if os.geteuid() == 0 else CLONE_NEWUSER | CLONE_NEWNET
    if ctypes.CDLL(None).unshare(flags):
        sys.exit(NOT_ALLOWED)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
