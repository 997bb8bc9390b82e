"""What the kernel allows, where there is no C compiler: as ``send.c``, in a Python loop of os.write."""

import os
import socket
import sys
from pathlib import Path


def main() -> None:
    """Serve; the arguments are those of ``send.c``."""
    data, subscribers = Path(sys.argv[1]).read_bytes(), int(sys.argv[2])
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        sys.stdout.write(f"listening on http://127.0.0.1:{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        commander, *sockets = [listener.accept()[0] for _ in range(subscribers + 1)]
        descriptors = [one.fileno() for one in sockets]
        while command := commander.recv(1):
            for descriptor in descriptors:
                left = data
                while left:
                    left = left[os.write(descriptor, left) :]
            commander.sendall(command)


if __name__ == "__main__":
    main()
