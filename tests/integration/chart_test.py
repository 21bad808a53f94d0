"""Checks deploy/helm and deploy/kustomize against Kubernetes' schemas, a policy linter, each other, and what the programs know.

Called by tests/run through chart_test, outside of Bazel, because helm, kustomize, the linters and the schemas are installed by
deploy/setup. Schemas of resources that are not Kubernetes' own come from the modules of their makers.
"""

import copy
import functools
import http.server
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy/kubernetes"))

import jsonschema
import kubernetes_validate
from rendered import manifests
import yaml

VERSIONS = ("1.29", "1.33", "1.37")
SECRETS = ("--set", "tls.enabled=true,tls.existingSecret=sutra-tls,auth.existingSecret=sutra-auth")
RENDERS = {
    "defaults": (),
    "TLS and tokens": SECRETS,
    "mTLS by cert-manager": ("--set", "tls.enabled=true,tls.clientAuth=require,tls.certManager.enabled=true,tls.certManager.issuerRef.name=ca"),
    "closed health": (*SECRETS, "--set", "auth.healthOpen=false"),
    "without embedder": ("--set", "embedder.enabled=false"),
    "monitoring": ("--set", "monitoring.serviceMonitor.enabled=true,monitoring.prometheusRule.enabled=true"),
    "fixed numbers": ("--set", "router.autoscaling.enabled=false,embedder.autoscaling.enabled=false,shard.antiAffinity=hard"),
    "all by hand": ("--values", str(ROOT / "tests/integration/chart_values.yaml")),
}
# Schemas of their makers' modules: resource group, module, file in it.
CUSTOM = {
    ("monitoring.coreos.com", "ServiceMonitor"): (
        "github.com/prometheus-operator/prometheus-operator@v0.68.0",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"),
    ("monitoring.coreos.com", "PrometheusRule"): (
        "github.com/prometheus-operator/prometheus-operator@v0.68.0",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"),
    ("cert-manager.io", "Certificate"): ("github.com/cert-manager/cert-manager@v1.13.6", "deploy/crds/crd-certificates.yaml"),
}
# Versioned tags are pulled once, and a limit of processors only slows its pod down.
IGNORED_POLICIES = ("--ignore-container-cpu-limit", "--ignore-test", "container-image-pull-policy", "--enable-optional-test", "container-seccomp-profile")
PROGRAMS = {"shard": "shard/sutra-shard", "router": "router/sutra-router", "embedder": "src/apps/embed/sutra-embed"}


@functools.cache
def render(name, version=manifests.KUBERNETES):
    return manifests.chart(*RENDERS[name], version=f"{version}.0" if version.count(".") == 1 else version)


def overlay(path):
    return manifests.kustomization(ROOT / "deploy/kustomize" / path)


@functools.cache
def module_folder(module):
    done = subprocess.run(["go", "mod", "download", "-json", module], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr
    return pathlib.Path(json.loads(done.stdout)["Dir"])


@functools.cache
def custom_schema(group, kind):
    module, path = CUSTOM[group, kind]
    definition = yaml.safe_load((module_folder(module) / path).read_text(encoding="utf-8"))
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    forbid_unknown(schema)
    return schema


def forbid_unknown(schema):
    """Kubernetes drops what a schema does not name; here it is a mistake."""
    for child in schema.get("properties", {}).values():
        forbid_unknown(child)
    if isinstance(schema.get("items"), dict):
        forbid_unknown(schema["items"])
    if "properties" in schema and "x-kubernetes-preserve-unknown-fields" not in schema:
        schema.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        schema.pop("type", None)
    if "(?i)" in schema.get("pattern", ""):  # Go takes a flag anywhere, Python at the beginning
        schema["pattern"] = "(?i)" + schema["pattern"].replace("(?i)", "")


def validate(document, version):
    group = document["apiVersion"].split("/")[0]
    if (group, document["kind"]) not in CUSTOM:
        kubernetes_validate.validate(document, version, strict=True)
        return
    schema = custom_schema(group, document["kind"])
    body = copy.deepcopy(document)
    body["metadata"] = {}
    jsonschema.validate(body, schema)


def refused(*options):
    """What helm says where it must not render."""
    try:
        manifests.chart(*options)
    except manifests.ManifestError as error:
        return str(error)
    raise AssertionError(f"rendered with {options}")


def containers(documents):
    for document, pod in manifests.pod_templates(documents):
        for container in pod["spec"].get("initContainers", []) + pod["spec"]["containers"]:
            yield document, pod, container


def component(document):
    return document["metadata"]["labels"]["app.kubernetes.io/component"]


def environment(container):
    return {variable["name"]: variable for variable in container.get("env", [])}


# Cases


def fits_the_schemas_of_three_versions():
    for version in VERSIONS:
        for name in RENDERS:
            for document in render(name, version):
                validate(document, version)
        for path in ("base", "overlays/secure"):
            for document in overlay(path):
                validate(document, version)


def schemas_find_mistakes():
    """The check above can fail: an unknown field in each kind of resource."""
    for name in ("mTLS by cert-manager", "monitoring"):
        for document in copy.deepcopy(render(name)):
            document.setdefault("spec", {})["sutra"] = 1
            try:
                validate(document, VERSIONS[0])
            except (kubernetes_validate.ValidationError, jsonschema.ValidationError):
                continue
            raise AssertionError(f"nothing wrong with {manifests.key(document)}")


def lints():
    for options in RENDERS.values():
        done = subprocess.run([manifests.BIN / "helm", "lint", "--strict", "--quiet", manifests.CHART, *options], capture_output=True, text=True)
        assert done.returncode == 0, f"{options}: {done.stdout}{done.stderr}"


def keeps_policies():
    for name in RENDERS:
        text = yaml.safe_dump_all(render(name))
        command = [manifests.BIN / "kube-score", "score", "-", "--output-format", "ci", "--kubernetes-version", "v1.29", *IGNORED_POLICIES]
        done = subprocess.run(command, input=text, capture_output=True, text=True)
        problems = [line for line in done.stdout.splitlines() if not line.startswith(("[OK]", "[SKIPPED]"))]
        assert done.stdout.count("[OK]") > 10 and not problems, f"{name}: {problems}{done.stderr}"


def is_the_same_with_kustomize():
    for path, name in (("base", "defaults"), ("overlays/secure", "TLS and tokens")):
        ours = {manifests.key(d): comparable(d) for d in overlay(path)}
        theirs = {manifests.key(d): comparable(d) for d in manifests.without_helm(copy.deepcopy(render(name)))}
        assert ours.keys() == theirs.keys(), ours.keys() ^ theirs.keys()
        for key, document in theirs.items():
            assert ours[key] == document, f"{path}, {key}: {differences(ours[key], document)}; deploy/kustomize/write-base writes the base"


def differences(ours, theirs, where=""):
    """Paths at which two documents differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = sorted(ours.keys() | theirs.keys())
        return [found for key in keys for found in differences(ours.get(key), theirs.get(key), f"{where}.{key}")]
    return [] if ours == theirs else [f"{where}: {ours!r} and {theirs!r}"]


def comparable(document):
    """Lists whose order means nothing, by name."""
    for _, pod in manifests.pod_templates([document]):
        spec = pod["spec"]
        spec["volumes"] = {volume["name"]: volume for volume in spec.get("volumes", [])}
        for container in spec["containers"]:
            container["env"] = environment(container)
            container["volumeMounts"] = {mount["name"]: mount for mount in container.get("volumeMounts", [])}
    return document


def options_are_known():
    """Every variable of a render is an option of its program, or of `sutra` in its probes."""
    known = {part: options_of(program) | {"SUTRA_ADDRESS"} for part, program in PROGRAMS.items()}
    for name in RENDERS:
        for document, _, container in containers(render(name)):
            if component(document) in known:
                unknown = {n for n in environment(container) if n.startswith("SUTRA_")} - known[component(document)]
                assert not unknown, f"{name}: {component(document)} has no {unknown}"


def options_of(program):
    text = subprocess.run([ROOT / "bazel-bin" / program, "--help"], capture_output=True, text=True, check=True).stdout
    return {"SUTRA_" + option.upper().replace("-", "_") for option in re.findall(r"^ +--([a-z-]+)", text, re.MULTILINE)}


def is_closed_where_it_can_be():
    for name in RENDERS:
        for document, pod, container in containers(render(name)):
            spec, security = pod["spec"], container["securityContext"]
            where = f"{name}: {manifests.key(document)}"
            assert spec["automountServiceAccountToken"] is False and spec["enableServiceLinks"] is False, where
            assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, where
            assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"], where
            assert security["capabilities"] == {"drop": ["ALL"]}, where
            assert ("SUTRA_INSECURE" in environment(container)) == ("SUTRA_LISTEN" in environment(container) and "SUTRA_TLS_CERT" not in environment(container)), where


def pods_end_in_time():
    """The grace that Kubernetes gives covers what the programs take: SIGKILL never meets a running call."""
    for name in RENDERS:
        for document, pod, container in containers(render(name)):
            if "SUTRA_DRAIN_MS" not in environment(container):
                continue
            env = environment(container)
            serving = (int(env["SUTRA_DRAIN_MS"]["value"]) + int(env["SUTRA_GRACE_MS"]["value"])) / 1000
            before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            assert pod["spec"]["terminationGracePeriodSeconds"] >= before + serving + 30, manifests.key(document)


def calls_wait_for_pods_that_are_replaced():
    """Longer than the replaced pod may take to end its calls; and a read's own time is not over before."""
    for name in RENDERS:
        for document, _, container in containers(render(name)):
            env = environment(container)
            assert ("SUTRA_PEER_WAIT_MS" in env) == (component(document) in ("shard", "router")), manifests.key(document)
            if "SUTRA_PEER_WAIT_MS" in env:
                assert int(env["SUTRA_PEER_WAIT_MS"]["value"]) >= int(env["SUTRA_GRACE_MS"]["value"]) + 30000, manifests.key(document)
    config = json.loads((ROOT / "deploy/service-config.json").read_text(encoding="utf-8"))
    shortest = min(int(each["timeout"].removesuffix("s")) for each in config["methodConfig"] if "timeout" in each)
    (router,) = (c for d, _, c in containers(render("defaults")) if component(d) == "router")
    assert int(environment(router)["SUTRA_PEER_WAIT_MS"]["value"]) < 1000 * shortest


def everything_selected_exists():
    """Services, budgets, policies and autoscalers point at pods of the same render, named ports included."""
    for name in RENDERS:
        documents = render(name)
        pods = [(pod["metadata"]["labels"], {p["name"] for c in pod["spec"]["containers"] for p in c.get("ports", [])})
                for _, pod in manifests.pod_templates(documents)]
        for document in documents:
            spec = document.get("spec", {})
            selector = {"Service": lambda: spec["selector"], "PodDisruptionBudget": lambda: spec["selector"]["matchLabels"],
                        "NetworkPolicy": lambda: spec["podSelector"]["matchLabels"]}.get(document["kind"])
            if selector is None:
                continue
            chosen = [ports for labels, ports in pods if selector().items() <= labels.items()]
            assert chosen, f"{name}: {manifests.key(document)} selects nothing"
            for port in spec.get("ports", []):
                assert any(port["targetPort"] in ports for ports in chosen), f"{name}: {manifests.key(document)}, {port}"


def jobs_are_those_of_the_rules():
    """The ServiceMonitor calls every component as prometheus.yml does, whose jobs rules and dashboard are tested with."""
    documents = render("monitoring")
    (monitor,) = (d for d in documents if d["kind"] == "ServiceMonitor")
    (rule,) = (r for r in monitor["spec"]["endpoints"][0]["relabelings"] if r["targetLabel"] == "job")
    components = [pod["metadata"]["labels"]["app.kubernetes.io/component"] for d, pod in manifests.pod_templates(documents) if d["kind"] != "Pod"]
    jobs = {re.fullmatch(rule["regex"], part).expand(rule["replacement"].replace("$", "\\")) for part in components}
    configuration = yaml.safe_load((ROOT / "deploy/monitoring/prometheus.yml").read_text(encoding="utf-8"))
    assert jobs == {job["job_name"] for job in configuration["scrape_configs"]}, jobs


def names_agree():
    """Addresses in the topology and in the certificate are those of the pods and Services."""
    documents = render("mTLS by cert-manager")
    shard = manifests.find(documents, "StatefulSet", "sutra-shard")
    topology = json.loads(manifests.find(documents, "ConfigMap", "sutra-topology")["data"]["topology.json"])
    expected = [f"sutra-shard-{i}.{shard['spec']['serviceName']}" for i in range(shard["spec"]["replicas"])]
    assert [s["address"] for s in topology["shards"]] == [f"{host}:7400" for host in expected]
    names = manifests.find(documents, "Certificate", "sutra-tls")["spec"]["dnsNames"]
    services = [d["metadata"]["name"] for d in documents if d["kind"] == "Service" and component(d) in ("router", "embedder")]
    assert {"localhost", *expected, *services} <= set(names), names


def shard_of(concepts, *options):
    """MiB of memory, of disk, and of refinement vectors in memory."""
    documents = manifests.chart("--set", f"shard.concepts={concepts}", *options)
    spec = manifests.find(documents, "StatefulSet", "sutra-shard")["spec"]
    container = spec["template"]["spec"]["containers"][0]
    claim = spec["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]
    return int(container["resources"]["requests"]["memory"][:-2]), int(claim[:-2]), int(environment(container)["SUTRA_ROW_MEMORY_MB"]["value"])


def versions_agree():
    """What is shipped has the number that the programs tell, which is in one place."""
    said = subprocess.run([ROOT / "bazel-bin/src/apps/cli/sutra", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    for path, pattern in (("deploy/helm/sutra/Chart.yaml", '^appVersion: "(.*)"$'), ("deploy/clients/python/pyproject.toml", '^version = "(.*)"$'),
                          ("deploy/container/Dockerfile", 'image.version="(.*)"'), ("deploy/docs/install.md", "cache/debian/sutra_(.*)-1_amd64.deb"),
                          ("deploy/docs/kubernetes.md", "--tag registry.example/sutra:(.*?) ")):
        found = re.findall(pattern, (ROOT / path).read_text(encoding="utf-8"), re.M)
        assert found == [said], f"{path}: {found}, the programs say {said}"


def readme_has_the_sizes():
    rows = re.findall(r"^\| ([\d,]+) \| ([\d.]+) GiB \| ([\d.]+) GiB \|$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    assert rows
    for concepts, memory, disk in rows:
        asked = [f"{mebi / 1024:.1f}" for mebi in shard_of(int(concepts.replace(",", "")))[:2]]
        assert [memory, disk] == asked, f"README.md, {concepts} concepts: {asked}"


def requests_follow_the_concepts():
    small, large = shard_of(1000000), shard_of(10000000)
    assert 6 * small[0] < large[0] + 6000 < 10 * small[0] + 6000 and 6 * small[1] < large[1] + 12000, (small, large)
    assert small[2] * 2**20 >= 388 * 1000000 and large[2] * 2**20 >= 388 * 10000000, (small, large)
    assert shard_of(10000000, "--set", "shard.rowMemoryMb=100")[0] < large[0] - 3000


def refuses_nonsense():
    for options, said in {
        "shard.count=0": "shard.count", "shard.cuont=3": "cuont", "tls.enabled=true": "tls.existingSecret",
        "auth.existingSecret=x": "without tls.enabled", "auth.healthOpen=false": "auth.healthOpen",
        "router.autoscaling.maxReplicas=1": "maxReplicas is less", "tls.clientAuth=require": "tls.clientAuth",
        "image.digest=sha256:1": "digest", "networkPolicy.clients=null": "clients",
        "tls.certManager.enabled=true": "without tls.enabled", "serviceAccount.create=false": "serviceAccount.name",
    }.items():
        message = refused("--set", options)
        assert said in message, f"{options}: {message}"


def commands_of_the_page_render():
    """What kubernetes.md tells helm to install, and then to upgrade to, for those who have a cluster."""
    text = (ROOT / "deploy/docs/kubernetes.md").read_text(encoding="utf-8").replace("\\\n", " ")
    commands = [shlex.split(line) for line in text.splitlines() if line.startswith(("helm install ", "helm upgrade "))]
    options = [[word for word in command if word == "--set" or "=" in word] for command in commands]
    assert len(commands) == 2 and all(command[2:4] == ["sutra", "deploy/helm/sutra"] for command in commands), commands
    installed, upgraded = manifests.chart(*options[0]), manifests.chart(*options[0], *options[1])
    for documents in (installed, upgraded):
        assert "registry.example/sutra:" in next(containers(documents))[2]["image"]
        assert manifests.find(documents, "StatefulSet", "sutra-shard")["spec"]["replicas"] == 3
    assert "SUTRA_TOKENS" in environment(next(containers(upgraded))[2])


class Api(http.server.BaseHTTPRequestHandler):
    """As much of Kubernetes as helm's lookup asks for: one StatefulSet of three replicas."""

    GROUPS = {"kind": "APIGroupList", "groups": [{"name": "apps", "versions": [{"groupVersion": "apps/v1", "version": "v1"}],
                                                    "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"}}]}
    ANSWERS = {
        "/version": {"major": "1", "minor": "31", "gitVersion": "v1.31.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": GROUPS,
        "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
        "/apis/apps/v1": {"kind": "APIResourceList", "groupVersion": "apps/v1", "resources": [
            {"name": "statefulsets", "singularName": "", "namespaced": True, "kind": "StatefulSet", "verbs": ["get"]}]},
        "/apis/apps/v1/namespaces/sutra/statefulsets/sutra-shard": {
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "sutra-shard", "namespace": "sutra"}, "spec": {"replicas": 3}},
    }

    def do_GET(self):
        answer = self.ANSWERS.get(self.path.split("?")[0])
        missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
        body = json.dumps(answer or missing).encode()
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def refuses_another_number_of_shards():
    """An upgrade of a running release: helm asks the cluster."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    live = ("--dry-run=server", "--kube-apiserver", f"http://127.0.0.1:{server.server_port}")
    os.environ["KUBECONFIG"] = "/dev/null"
    manifests.chart(*live, "--validate=false")
    message = refused(*live, "--set", "shard.count=4")
    assert "data does not move between shards yet" in message, message
    server.shutdown()


CASES = (
    fits_the_schemas_of_three_versions, schemas_find_mistakes, lints, keeps_policies, is_the_same_with_kustomize, options_are_known,
    is_closed_where_it_can_be, pods_end_in_time, calls_wait_for_pods_that_are_replaced, everything_selected_exists,
    jobs_are_those_of_the_rules, names_agree, requests_follow_the_concepts, readme_has_the_sizes, versions_agree,
    commands_of_the_page_render, refuses_nonsense, refuses_another_number_of_shards,
)


def main():
    for case in CASES:
        print(f"chart_test: {case.__name__}", flush=True)
        case()


if __name__ == "__main__":
    main()
