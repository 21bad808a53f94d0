"""Manifests as lists of dictionaries: the chart rendered by helm, folders built by kustomize."""

import os
import pathlib
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
BIN = ROOT / ".cache/bin"
CHART = ROOT / "deploy/helm/sutra"
KUBERNETES = "1.31.0"
# What only Helm has, and what only its users have a use for.
HELM_LABELS = ("helm.sh/chart", "app.kubernetes.io/managed-by")


class ManifestError(Exception):
    """What helm or kustomize said."""


def _output(program, *arguments):
    done = subprocess.run([BIN / program, *arguments], capture_output=True, text=True, env=os.environ | {"HELM_NO_PLUGINS": "1"})
    if done.returncode != 0:
        raise ManifestError(done.stderr.strip())
    return done.stdout


def parse(text):
    return [document for document in yaml.safe_load_all(text) if document is not None]


def chart(*options, release="sutra", namespace="sutra", version=KUBERNETES):
    """What `helm template` renders; options as on its command line."""
    return parse(_output("helm", "template", release, CHART, "--namespace", namespace, "--kube-version", version, *options))


def kustomization(folder):
    return parse(_output("kustomize", "build", folder))


def is_hook(document):
    return "helm.sh/hook" in document["metadata"].get("annotations", {})


def without_helm(documents):
    """A render as somebody without Helm would have it: no hooks, no labels of Helm's."""
    kept = [document for document in documents if not is_hook(document)]
    for document in kept:
        for label in HELM_LABELS:
            document["metadata"].get("labels", {}).pop(label, None)
    return kept


def key(document):
    return document["kind"], document["metadata"]["name"]


def find(documents, kind, name):
    for document in documents:
        if key(document) == (kind, name):
            return document
    raise KeyError(f"no {kind} '{name}'")


def pod_templates(documents):
    """(document, pod) of everything that makes pods."""
    for document in documents:
        if document["kind"] in ("StatefulSet", "Deployment"):
            yield document, document["spec"]["template"]
        elif document["kind"] == "Pod":
            yield document, document


def component(document):
    return document["metadata"].get("labels", {}).get("app.kubernetes.io/component")


def router_service(documents):
    """The name that clients use."""
    return next(d["metadata"]["name"] for d in documents if d["kind"] == "Service" and component(d) == "router" and d["spec"].get("clusterIP") != "None")


def served_names(documents):
    """By which servers are called: what their certificate covers."""
    names = {"localhost"}
    for document in documents:
        name = document["metadata"]["name"]
        if document["kind"] == "Service" and component(document) in ("router", "embedder"):
            names.add(name)
        elif document["kind"] == "StatefulSet":
            service, count = document["spec"]["serviceName"], document["spec"]["replicas"]
            names.update(f"{name}-{i}.{service}" for i in range(count))
    return sorted(names)
