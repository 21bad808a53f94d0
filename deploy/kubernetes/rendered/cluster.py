"""The workloads of rendered manifests: pods with the names and labels that Kubernetes gives them, Services, rolling restarts."""

import concurrent.futures
import copy
import json
import secrets
import string
import subprocess
import time

from rendered import network
from rendered.pod import Pod, PodError, Volumes

READY_SECONDS = 60


class Cluster:
    def __init__(self, documents, image_folder, folder, secret_files):
        self.documents, self.folder = documents, folder
        self.root = image_folder / "rootfs"
        self.image = json.loads((image_folder / "image.json").read_text(encoding="utf-8"))
        self.namespace = next(d["metadata"]["namespace"] for d in documents if d["kind"] == "StatefulSet")
        self.endpoint_delay = 0.5
        self.pods = []
        self.volumes = Volumes(folder / "volumes", documents, secret_files)
        network.set_up()
        self.resolv_conf = folder / "resolv.conf"
        search = f"{self.namespace}.svc.{network.DOMAIN} svc.{network.DOMAIN} {network.DOMAIN}"
        self.resolv_conf.write_text(f"search {search}\nnameserver {network.GATEWAY}\noptions ndots:5\n", encoding="ascii")
        self.services = {d["metadata"]["name"]: d["spec"] for d in documents if d["kind"] == "Service"}
        self.addresses = {name: self._service(spec) for name, spec in self.services.items() if spec.get("clusterIP") != "None"}
        self.names = network.Names(self.resolve)

    def _service(self, spec):
        return network.Service([(port["port"], self._target(spec, port)) for port in spec["ports"]], lambda: self.endpoints(spec)).ip

    def _target(self, spec, port):
        """A named port, as the first workload that the Service selects has it."""
        for workload in self.workloads():
            template = workload["spec"]["template"]
            if spec["selector"].items() <= template["metadata"]["labels"].items():
                return next(p["containerPort"] for p in template["spec"]["containers"][0]["ports"] if p["name"] == port["targetPort"])
        raise PodError(f"a Service selects nothing: {spec['selector']}")

    def workloads(self):
        """Embedders before shards before routers: not needed, but quicker."""
        order = ("embedder", "shard", "router")
        found = [d for d in self.documents if d["kind"] in ("StatefulSet", "Deployment")]
        return sorted(found, key=lambda d: order.index(d["metadata"]["labels"]["app.kubernetes.io/component"]))

    def chosen(self, spec):
        return [pod for pod in self.pods if spec["selector"].items() <= pod.labels.items()]

    def endpoints(self, spec):
        """Addresses that a Service has."""
        every = spec.get("publishNotReadyAddresses", False)
        return [pod.ip for pod in self.chosen(spec) if every or (pod.ready and not pod.terminating)]

    def resolve(self, name):
        """SERVICE.NAMESPACE.svc.DOMAIN, and POD.SERVICE.… of a headless one; None where there is no such name."""
        suffix = f".{self.namespace}.svc.{network.DOMAIN}"
        if not name.endswith(suffix):
            return None
        *pod, service = name[: -len(suffix)].split(".")
        if service not in self.services or len(pod) > 1:
            return None
        if service in self.addresses:
            return None if pod else [self.addresses[service]]
        spec = self.services[service]
        if not pod:
            return self.endpoints(spec)
        ips = [p.ip for p in self.chosen(spec) if p.name == pod[0] and p.ip in self.endpoints(spec)]
        return ips or None

    # Pods

    def replicas(self, workload):
        if "replicas" in workload["spec"]:
            return workload["spec"]["replicas"]
        for document in self.documents:
            target = document.get("spec", {}).get("scaleTargetRef", {})
            if (target.get("kind"), target.get("name")) == (workload["kind"], workload["metadata"]["name"]):
                return document["spec"]["minReplicas"]
        return 1

    def make_pod(self, workload, index):
        template = copy.deepcopy(workload["spec"]["template"])
        owner, labels, spec = workload["metadata"]["name"], template["metadata"]["labels"], template["spec"]
        if workload["kind"] == "StatefulSet":
            name = f"{owner}-{index}"
            labels |= {"apps.kubernetes.io/pod-index": str(index), "statefulset.kubernetes.io/pod-name": name}
            for claim in workload["spec"].get("volumeClaimTemplates", []):
                spec.setdefault("volumes", []).append({"name": claim["metadata"]["name"], "claim": f"{claim['metadata']['name']}-{name}"})
        else:
            name = owner + "-" + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(5))
        pod = Pod(self, workload, name, labels, spec)
        self.pods.append(pod)
        return pod

    def start(self):
        for workload in self.workloads():
            for index in range(self.replicas(workload)):
                self.make_pod(workload, index)
        for pod in self.pods:
            pod.wait_ready(READY_SECONDS)

    def delete(self, pod):
        try:
            pod.end()
        finally:
            self.pods.remove(pod)

    def delete_all(self):
        """At once, as when a release is deleted."""
        with concurrent.futures.ThreadPoolExecutor(len(self.pods)) as pool:
            list(pool.map(self.delete, list(self.pods)))

    def restart_all(self, say):
        """As `kubectl rollout restart` of everything: a shard ends before its successor begins, of the others the new one is ready before."""
        for workload in self.workloads():
            old = [pod for pod in self.pods if pod.owner is workload]
            for pod in reversed(old):
                began = time.monotonic()
                self._replace(workload, pod)
                say(f"{pod.name} replaced in {time.monotonic() - began:.1f} s")

    def _replace(self, workload, pod):
        if workload["kind"] == "StatefulSet":
            self.delete(pod)
            successor = self.make_pod(workload, int(pod.labels["apps.kubernetes.io/pod-index"]))
            successor.wait_ready(READY_SECONDS)
            time.sleep(workload["spec"]["minReadySeconds"])
        else:
            successor = self.make_pod(workload, 0)
            successor.wait_ready(READY_SECONDS)
            time.sleep(workload["spec"]["minReadySeconds"])
            self.delete(pod)

    def run_test(self, document):
        """The containers of a pod that runs to its end, as `helm test` does: one after the other."""
        for container in [*document["spec"].get("initContainers", []), *document["spec"]["containers"]]:
            pod = OneShot(self, document, container)
            status, output = pod.run()
            if status != 0:
                raise PodError(f"{container['name']} of {document['metadata']['name']}: exit status {status}\n{output}")
            yield container["name"], output

    def problems(self):
        return [f"{pod.name} {problem}" for pod in self.pods for problem in pod.problems]

    def close(self):
        for pod in self.pods:
            pod.kill()


class OneShot(Pod):
    """A container that ends by itself."""

    def __init__(self, cluster, document, container):  # pylint: disable=super-init-not-called
        self.cluster, self.name, self.labels, self.spec = cluster, document["metadata"]["name"], document["metadata"]["labels"], document["spec"]
        self.net = network.Sandbox()
        self.ip, self.security = self.net.ip, self.spec["securityContext"]
        self.mounts = self._mounts(container)
        self._box = self.box(container)

    def run(self):
        import sandbox

        try:
            process = sandbox.popen(self._box, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            output, _ = process.communicate(timeout=READY_SECONDS)
            return process.returncode, output
        finally:
            self.net.close()
