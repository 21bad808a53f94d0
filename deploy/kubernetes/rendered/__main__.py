"""deploy/kubernetes/run-rendered, once it is in namespaces of its own."""

import argparse
import hashlib
import os
import pathlib
import secrets
import subprocess
import sys
import threading
import urllib.request

from rendered import load, manifests
from rendered.cluster import Cluster
from rendered.pod import PodError

ROOT = pathlib.Path(__file__).resolve().parents[3]
ROLES = {"reader": "reader", "writer": "writer", "admin": "admin", "node": "admin"}


def say(text):
    print(f"run-rendered: {text}", file=sys.stderr, flush=True)


def options():
    parser = argparse.ArgumentParser(prog="run-rendered", add_help=False)
    parser.add_argument("--image", type=pathlib.Path, required=True)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--kustomize", type=pathlib.Path)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--values", action="append", default=[])
    parser.add_argument("--restart", action="store_true")
    parser.add_argument("--rate", type=int, default=40)
    parser.add_argument("command", nargs="*")
    return parser.parse_args()


def render(given):
    if given.kustomize:
        return manifests.kustomization(given.kustomize)
    words = [word for option in given.set for word in ("--set", option)] + [word for option in given.values for word in ("--values", option)]
    return manifests.chart(*words)


class Secrets:
    """The Secrets that the manifests name and somebody else would have made: certificates for the names in use, and tokens."""

    def __init__(self, documents, folder):
        self._folder, self._documents = folder, documents
        self.files, self.environment = {}, {}
        for _, pod in manifests.pod_templates(documents):
            for volume in pod["spec"].get("volumes", []):
                if "secret" in volume:
                    self.files[volume["secret"]["secretName"]] = self._make(volume["name"])

    def _make(self, kind):
        return self._certificates() if kind == "tls" else self._tokens()

    def _names(self):
        for document in self._documents:
            if document["kind"] == "Certificate":
                return document["spec"]["dnsNames"]
        return manifests.served_names(self._documents)

    def _certificates(self):
        folder = self._folder / "certificates"
        if not folder.exists():
            subprocess.run([ROOT / "deploy/make-certificates", folder, *self._names()], check=True, capture_output=True)
            self.environment["SUTRA_TLS_CA"] = str(folder / "ca.pem")
        pairs = {"tls.crt": "server.pem", "tls.key": "server.key", "ca.crt": "ca.pem"}
        return {name: (folder / file).read_bytes() for name, file in pairs.items()}

    def _tokens(self):
        folder = self._folder / "tokens"
        if not folder.exists():
            folder.mkdir()
            for name in ROLES:
                (folder / name).write_text(secrets.token_hex(32) + "\n", encoding="ascii")
            self.environment |= {"SUTRA_TOKEN_FOLDER": str(folder), "SUTRA_TOKEN": (folder / "admin").read_text(encoding="ascii").strip()}
        lines = [f"{n} {r} sha256:{hashlib.sha256((folder / n).read_bytes().strip()).hexdigest()}\n" for n, r in ROLES.items()]
        return {"tokens": "".join(lines).encode(), "peer-token": (folder / "node").read_bytes()}


def use_names_of(cluster):
    """From here on this process resolves what a pod resolves."""
    subprocess.run(["mount", "--bind", str(cluster.resolv_conf), "/etc/resolv.conf"], check=True)


def helm_tests(cluster, documents):
    for document in documents:
        if document["kind"] == "Pod" and manifests.is_hook(document):
            for name, _ in cluster.run_test(document):
                say(f"helm test: {name} passed")


def scrape(cluster):
    """Every pod's metrics, at the port that the manifests name."""
    for pod in cluster.pods:
        port = next(port["containerPort"] for port in pod.container["ports"] if port["name"] == "metrics")
        with urllib.request.urlopen(f"http://{pod.ip}:{port}/metrics", timeout=5) as page:
            if b"\nsutra_" not in page.read():
                raise PodError(f"{pod.name} has no metrics at port {port}")
    say("every pod has metrics")


def restart_under_load(cluster, environment, service, rate):
    reads = load.Load(load.Access(environment), [f"dns:///{service}:7400", f"dns:///{service}-routers:7400"], rate)
    reads.start()
    cluster.restart_all(say)
    threading.Event().wait(2)
    reads.stop()
    say(f"{reads.done} reads while every pod was replaced, {len(reads.failures)} failed, the slowest took {reads.slowest_s:.2f} s")
    if reads.failures or not reads.done:
        raise PodError("reads failed:\n" + "\n".join(sorted(set(reads.failures))[:20]))


def work(given, folder):
    documents = render(given)
    given_secrets = Secrets(documents, folder)
    cluster = Cluster(documents, given.image, folder, given_secrets.files)
    try:
        use_names_of(cluster)
        cluster.start()
        say(f"{len(cluster.pods)} pods are ready: {', '.join(pod.name for pod in cluster.pods)}")
        service = manifests.router_service(documents)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SUTRA_") or k == "SUTRA_MODEL"}
        environment |= {"SUTRA_ADDRESS": f"{service}:7400", "PATH": f"{cluster.root}/usr/bin:{os.environ['PATH']}"} | given_secrets.environment
        helm_tests(cluster, documents)
        scrape(cluster)
        if given.command:
            status = subprocess.run(given.command, env=environment, check=False).returncode
            if status != 0:
                raise PodError(f"exit status {status} of: {' '.join(given.command)}")
        if given.restart:
            load.generate(make(folder / "stubs"))
            restart_under_load(cluster, environment, service, given.rate)
        if cluster.problems():
            raise PodError(f"Kubernetes would have restarted: {cluster.problems()}")
        cluster.delete_all()
        say("every pod ended with exit status 0")
    except (Exception, KeyboardInterrupt):
        for pod in cluster.pods:
            say(f"--- {pod.name}\n{pod.tail()}")
        raise
    finally:
        cluster.close()


def make(folder):
    folder.mkdir()
    return folder


def main():
    given = options()
    try:
        work(given, given.folder)
    except (PodError, manifests.ManifestError, AssertionError) as error:
        sys.exit(f"run-rendered: {error}")


if __name__ == "__main__":
    main()
