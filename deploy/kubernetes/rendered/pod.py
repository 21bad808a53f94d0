"""One pod as one process: its container's command, arguments, environment, volumes, security context, probes and end."""

import base64
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "container"))

import sandbox
from rendered import network

# What Kubernetes takes where a manifest says nothing.
PROBE_DEFAULTS = {"initialDelaySeconds": 0, "periodSeconds": 10, "timeoutSeconds": 1, "failureThreshold": 3, "successThreshold": 1}
SERVING = 1
NETWORK_LINGER_SECONDS = 1


class PodError(Exception):
    """What Kubernetes would show as an event."""


class Volumes:
    """ConfigMaps, Secrets and claims of all pods, as folders. Claims outlive their pods."""

    def __init__(self, folder, documents, secrets):
        self._folder = folder
        self._maps = {d["metadata"]["name"]: d.get("data", {}) for d in documents if d["kind"] == "ConfigMap"}
        self._secrets = secrets

    def folder_of(self, volume, pod_name, group):
        folder = self._folder / pod_name / volume["name"]
        if "configMap" in volume:
            self._write(folder, {k: v.encode() for k, v in self._maps[volume["configMap"]["name"]].items()}, 0o644, 0)
        elif "secret" in volume:
            mode = volume["secret"].get("defaultMode", 0o644)
            self._write(folder, self._secrets[volume["secret"]["secretName"]], mode, group)
        elif "claim" in volume:
            folder = self._folder / "claims" / volume["claim"]
            folder.mkdir(parents=True, exist_ok=True)
            self._give(folder, group, 0o2775)
        else:
            raise PodError(f"volume {volume} is of a kind that is not known here")
        return folder

    def _write(self, folder, files, mode, group):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
            self._give(folder / name, group, mode)

    @staticmethod
    def _give(path, group, mode):
        import os

        os.chown(path, 0, group)
        os.chmod(path, mode)


class Probe:
    """One probe's state: how often it has failed in a row."""

    def __init__(self, spec, ask):
        self.spec = PROBE_DEFAULTS | spec
        self.failures = 0
        self._ask = ask

    def ok(self):
        good = self._ask(self.spec)
        self.failures = 0 if good else self.failures + 1
        return good

    def failed(self):
        return self.failures >= self.spec["failureThreshold"]


class Pod:
    """Begins with its construction. `ready` is what Kubernetes would show; `problems` what it would do something about."""

    def __init__(self, cluster, owner, name, labels, spec):
        self.cluster, self.owner, self.name, self.labels, self.spec = cluster, owner, name, labels, spec
        self.container = spec["containers"][0]
        self.ready = self.terminating = False
        self.problems = []
        self.log = cluster.folder / f"{name}.{time.monotonic_ns()}.log"
        self.net = network.Sandbox()
        self.ip = self.net.ip
        self.security = spec["securityContext"]
        self.mounts = self._mounts(self.container)
        with open(self.log, "wb") as log:
            self.process = sandbox.popen(self.box(self.container), stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self._stop = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    # What is run

    def box(self, container, command=None):
        security = self.security | container.get("securityContext", {})
        if not security["runAsNonRoot"] or security["runAsUser"] == 0:
            raise PodError(f"{self.name} would run as root")
        command = command or [*container.get("command", self.cluster.image["command"]), *container.get("args", [])]
        return sandbox.Sandbox(
            root=str(self.cluster.root), command=command, environment=self.environment(container), mounts=self.mounts,
            uid=security["runAsUser"], gid=security["runAsGroup"], network_of=self.net.process.pid,
            writable=not security.get("readOnlyRootFilesystem", False))

    def environment(self, container):
        always = {"HOSTNAME": self.name, "HOME": "/", "KUBERNETES_SERVICE_HOST": network.SERVICE_NET + "254", "KUBERNETES_SERVICE_PORT": "443"}
        own = {variable["name"]: self._value(variable) for variable in container.get("env", [])}
        return self.cluster.image["environment"] | always | own

    def _value(self, variable):
        if "value" in variable:
            return variable["value"]
        path = variable["valueFrom"]["fieldRef"]["fieldPath"]
        label = re.fullmatch(r"metadata\.labels\['(.+)'\]", path)
        fields = {"metadata.name": self.name, "metadata.namespace": self.cluster.namespace, "status.podIP": self.ip}
        return self.labels[label[1]] if label else fields[path]

    def _mounts(self, container):
        group = self.security["fsGroup"]
        volumes = {volume["name"]: volume for volume in self.spec.get("volumes", [])}
        mounts = [[str(self._hosts()), "/etc/hosts", False], [str(self.cluster.resolv_conf), "/etc/resolv.conf", False]]
        for mount in container.get("volumeMounts", []):
            folder = self.cluster.volumes.folder_of(volumes[mount["name"]], self.name, group)
            mounts.append([str(folder), mount["mountPath"], not mount.get("readOnly", False) and "claim" in volumes[mount["name"]]])
        return mounts

    def _hosts(self):
        path = self.cluster.folder / f"{self.name}.hosts"
        path.write_text(f"127.0.0.1\tlocalhost\n{self.ip}\t{self.name}\n", encoding="ascii")
        return path

    # Whether it lives

    def _watch(self):
        """What the kubelet does: the startup probe until it succeeds, then the other two, each at its own pace."""
        try:
            startup, live, ready = (self._probe(name) for name in ("startupProbe", "livenessProbe", "readinessProbe"))
            while not self._stop.is_set() and not startup.ok():
                if self.process.poll() is not None or startup.failed():
                    self.problems.append(f"did not start, exit status {self.process.poll()}")
                    return
                self._stop.wait(startup.spec["periodSeconds"])
            due = {live: time.monotonic(), ready: time.monotonic()}
            while not self._stop.is_set():
                probe = min(due, key=due.get)
                self._stop.wait(max(0, due[probe] - time.monotonic()))
                if self._stop.is_set():
                    return
                due[probe] = time.monotonic() + probe.spec["periodSeconds"]
                probe.ok()
                if probe is ready:
                    self.ready = probe.failures == 0 or (self.ready and not probe.failed())
                elif probe.failed() or self.process.poll() is not None:
                    self.problems.append(f"is not alive, exit status {self.process.poll()}")
                    return
        except Exception as error:  # pylint: disable=broad-except
            self.problems.append(f"probing failed: {error!r}")

    def _probe(self, name):
        spec = self.container[name]
        return Probe(spec, self._ask_by_grpc if "grpc" in spec else self._ask_by_command)

    def _ask_by_command(self, spec):
        done = sandbox.popen(self.box(self.container, spec["exec"]["command"]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return done.wait(spec["timeoutSeconds"]) == 0
        except subprocess.TimeoutExpired:
            done.kill()
            return False

    def _ask_by_grpc(self, spec):
        """As the kubelet: without TLS and tokens. The messages have one field each."""
        name = spec["grpc"].get("service", "").encode()
        with grpc.insecure_channel(f"{self.ip}:{spec['grpc']['port']}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check")
            try:
                return check(b"\x0a" + bytes([len(name)]) + name, timeout=spec["timeoutSeconds"]) == bytes([8, SERVING])
            except grpc.RpcError:
                return False

    def wait_ready(self, seconds):
        deadline = time.monotonic() + seconds
        while not self.ready:
            if self.problems or time.monotonic() > deadline:
                raise PodError(f"{self.name}: {self.problems or 'not ready'}\n{self.tail()}")
            time.sleep(0.05)

    def tail(self):
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:]

    # How it ends

    def end(self):
        """preStop, SIGTERM, and what Kubernetes gives it; endpoints learn of it a little later, as they do."""
        seconds = self.spec["terminationGracePeriodSeconds"]
        deadline = time.monotonic() + seconds
        self._pre_stop()
        threading.Timer(self.cluster.endpoint_delay, self._leave_endpoints).start()
        self._stop.set()
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise PodError(f"{self.name} was killed: it did not end within {seconds} s\n{self.tail()}") from None
        finally:
            self._leave_endpoints()
        # A network outlives its last process by a moment, in which the other ends learn that their connections have ended.
        threading.Timer(NETWORK_LINGER_SECONDS, self.net.close).start()
        if status != 0:
            raise PodError(f"{self.name} ended with exit status {status}\n{self.tail()}")

    def _leave_endpoints(self):
        self.terminating = True

    def _pre_stop(self):
        hook = self.container.get("lifecycle", {}).get("preStop", {})
        if "sleep" in hook:
            time.sleep(hook["sleep"]["seconds"])
        elif "exec" in hook:
            sandbox.popen(self.box(self.container, hook["exec"]["command"])).wait(self.spec["terminationGracePeriodSeconds"])

    def kill(self):
        """At the end of everything."""
        self._stop.set()
        for process in (self.process, self.net.process):
            if process.poll() is None:
                process.kill()
            process.wait()


def decode_secret(document):
    return {name: base64.b64decode(value) for name, value in document.get("data", {}).items()}
