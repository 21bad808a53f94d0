"""A bridge with an address per pod and Service, names as a cluster's DNS gives them, and Services that spread connections.

Everything lives in the network namespace of this process, which nobody else is in: addresses and ports cannot be taken.
"""

import random
import selectors
import socket
import socketserver
import struct
import subprocess
import threading

BRIDGE, GATEWAY = "cluster0", "10.64.0.1"
POD_NET, SERVICE_NET = "10.64.1.", "10.64.255."
DOMAIN = "cluster.local"
TYPE_A, ANSWER, NXDOMAIN = 1, 0x8580, 3


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


def set_up():
    ip("link", "set", "lo", "up")
    # A bridge without a hardware address of its own takes one of its ports': it would change whenever a pod comes or goes.
    ip("link", "add", BRIDGE, "address", "02:00:00:00:00:01", "type", "bridge")
    ip("address", "add", f"{GATEWAY}/16", "dev", BRIDGE)
    ip("link", "set", BRIDGE, "up")


class Sandbox:
    """What a pod's pause container is: a process that does nothing but hold a network with one address."""

    count = 0

    def __init__(self):
        Sandbox.count += 1
        self.ip = POD_NET + str(Sandbox.count)
        self.process = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self._wait_for_namespace()
        near = f"pod{Sandbox.count}"
        ip("link", "add", near, "type", "veth", "peer", "name", "eth0", "netns", str(self.process.pid))
        ip("link", "set", near, "master", BRIDGE, "up")
        inside = ("address add %s/16 dev eth0" % self.ip, "link set eth0 up", "link set lo up", f"route add default via {GATEWAY}")
        for command in inside:
            subprocess.run(["nsenter", "--target", str(self.process.pid), "--net", "ip", *command.split()], check=True)

    def _wait_for_namespace(self):
        """Until `unshare` has become `sleep`."""
        while open(f"/proc/{self.process.pid}/comm", encoding="ascii").read().strip() != "sleep":
            assert self.process.poll() is None, "unshare --net failed"

    def close(self):
        self.process.kill()
        self.process.wait()


class Names:
    """The cluster's DNS: A records, over UDP. What resolves is told by resolve(name) -> addresses, or None."""

    def __init__(self, resolve):
        self._resolve = resolve
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((GATEWAY, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            query, client = self._socket.recvfrom(512)
            self._socket.sendto(self._answer(query), client)

    def _answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii").lower())
            at += query[at] + 1
        (kind,) = struct.unpack_from("!H", query, at + 1)
        addresses = self._resolve(".".join(labels))
        records = [b"\xc0\x0c" + struct.pack("!HHIH", TYPE_A, 1, 5, 4) + socket.inet_aton(a) for a in addresses or ()] if kind == TYPE_A else []
        flags = ANSWER | (NXDOMAIN if addresses is None else 0)
        return query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0) + query[12 : at + 5] + b"".join(records)


class Service:
    """An address of its own whose connections go to one of the endpoints each, as kube-proxy does it: by connection, not by call."""

    count = 0

    def __init__(self, ports, endpoints):
        Service.count += 1
        self.ip = SERVICE_NET + str(Service.count)
        ip("address", "add", f"{self.ip}/32", "dev", BRIDGE)
        for port, target in ports:
            server = socketserver.ThreadingTCPServer((self.ip, port), self._handler(endpoints, target), bind_and_activate=False)
            server.allow_reuse_address = server.daemon_threads = True
            server.request_queue_size = 128
            server.server_bind()
            server.server_activate()
            threading.Thread(target=server.serve_forever, daemon=True).start()

    @staticmethod
    def _handler(endpoints, target):
        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                addresses = endpoints()
                if not addresses:
                    return
                try:
                    with socket.create_connection((random.choice(addresses), target), timeout=5) as upstream:
                        upstream.settimeout(None)
                        splice(self.request, upstream)
                except OSError:
                    pass  # the client sees its connection end

        return Handler


def splice(one, other):
    """Until either ends."""
    with selectors.DefaultSelector() as ready:
        ready.register(one, selectors.EVENT_READ, other)
        ready.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in ready.select():
                data = key.fileobj.recv(1 << 16)
                if not data:
                    return
                key.data.sendall(data)
