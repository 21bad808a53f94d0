"""Runs the pods of rendered manifests as local processes; deploy/kubernetes/run-rendered says how."""
