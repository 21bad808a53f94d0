"""Generates the stubs (sutra.v1) from the repository's proto/ while the package is built."""

import shutil
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc
from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
PROTO = REPOSITORY / "proto"


class build_with_stubs(build_py):
    def run(self) -> None:
        super().run()
        target = Path(self.build_lib)
        self.generate(target)
        (target / "sutra/v1/__init__.py").write_text('"""The contract of proto/sutra/v1, as protoc generates it."""\n')
        shutil.copy(REPOSITORY / "deploy/service-config.json", target / "sutra")

    @staticmethod
    def generate(target: Path) -> None:
        sources = sorted(str(path) for path in (PROTO / "sutra/v1").glob("*.proto"))
        if not sources:
            raise FileNotFoundError(f"no proto files in {PROTO}: install from a clone of the repository")
        outputs = [f"--{kind}_out={target}" for kind in ("python", "pyi", "grpc_python")]
        includes = [f"-I{PROTO}", f"-I{files('grpc_tools') / '_proto'}"]
        if protoc.main(["protoc", *includes, *outputs, *sources]) != 0:
            raise RuntimeError("protoc failed")


setup(cmdclass={"build_py": build_with_stubs})
