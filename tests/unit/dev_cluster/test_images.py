"""Images are tagged by what they are made of, and builds reach the package index like the machine does."""

import configparser
import io
import json
import tarfile
from pathlib import Path

import pytest

from dev.cluster import baseimage, hostnetwork, images, packages, pauseimage
from dev.cluster.dockerfile import content_tag, copied_files, copied_patterns
from dev.cluster.instance import ClusterError

DOCKERFILE = """\
ARG BASE=python
# COPY nothing /from/a/comment
FROM ${BASE} AS builder
COPY requirements/api.txt \\
     /build/requirements.txt
COPY --chown=1:1 source /build/source
COPY ["LICENSE", "/licenses/"]
ADD https://example.com/file /file
FROM ${BASE}
COPY --from=builder /opt/venv /opt/venv
"""


@pytest.fixture
def context(tmp_path: Path) -> Path:
    for name in ("requirements/api.txt", "source/main.py", "source/deep/more.py", "LICENSE", "other.txt"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    return tmp_path


def tag(context: Path, **arguments: str) -> str:
    return content_tag(context / "Dockerfile", context, arguments)


def test_sources_of_copies_are_found_in_every_notation() -> None:
    assert list(copied_patterns(DOCKERFILE)) == ["requirements/api.txt", "source", "LICENSE"]


def test_files_are_those_the_image_copies(context: Path) -> None:
    found = {str(file.relative_to(context)) for file in copied_files(DOCKERFILE, context)}
    assert found == {"requirements/api.txt", "source/main.py", "source/deep/more.py", "LICENSE"}


def test_copying_what_does_not_exist_is_named(context: Path) -> None:
    with pytest.raises(ClusterError, match="'missing'"):
        copied_files("FROM x\nCOPY missing /x\n", context)


def test_the_tag_stays_when_nothing_that_is_copied_changes(context: Path) -> None:
    before = tag(context)
    (context / "other.txt").write_text("changed")
    (context / "source" / "__pycache__").mkdir()
    (context / "source" / "__pycache__" / "main.pyc").write_text("generated")
    assert tag(context) == before


@pytest.mark.parametrize("name", ["Dockerfile", "requirements/api.txt", "source/deep/more.py"])
def test_the_tag_changes_with_every_input(context: Path, name: str) -> None:
    before = tag(context)
    file = context / name
    file.write_text(file.read_text() + "\n# changed\n")
    assert tag(context) != before


def test_the_tag_changes_with_the_build_arguments(context: Path) -> None:
    assert tag(context, BASE="one") != tag(context, BASE="two")


def test_repositories_keep_the_port_of_a_registry() -> None:
    def repository(name: str) -> str:
        return images.Recipe(Path("Dockerfile"), Path(), name).repository

    assert repository("localhost/biospark/api:dev") == "localhost/biospark/api"
    assert repository("localhost:5000/api") == "localhost:5000/api"


LISTING = """\
:env:.default-timeout='180'
:env:.user='true'
global.default-timeout='15'
global.index-url='https://user:pass@index.example/simple'
install.trusted-host='a.example b.example'
global.target='/somewhere'
"""


def test_the_settings_of_the_environment_win_over_files() -> None:
    assert hostnetwork.parsed_settings(LISTING)["default-timeout"] == "180"


def test_only_settings_about_reaching_the_index_go_into_builds() -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(hostnetwork.pip_configuration(hostnetwork.parsed_settings(LISTING), with_bundle=True))
    assert dict(parser["global"]) == {
        "cert": hostnetwork.BUNDLE,
        "default-timeout": "180",
        "index-url": "https://user:pass@index.example/simple",
        "trusted-host": "a.example b.example",
    }


def test_the_file_with_the_index_credentials_is_private(tmp_path: Path) -> None:
    settings = Path(hostnetwork.mounts(tmp_path)["/etc/pip.conf"])
    assert settings.stat().st_mode & 0o077 == 0


def test_packages_come_from_the_mirror_of_this_release() -> None:
    listing = "http://mirror/security trixie-security main\nhttp://mirror/debian trixie main\n"
    assert baseimage.chosen_source(listing, "trixie") == ("http://mirror/debian", "trixie")


def test_without_a_configured_mirror_debootstrap_chooses() -> None:
    assert baseimage.chosen_source("", "") == ("", "stable")


def test_the_pause_image_is_an_archive_of_one_program() -> None:
    archive = pauseimage.archive(b"program", "localhost/pause:1")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        layer = tar.extractfile(manifest[0]["Layers"][0])
        assert layer is not None
        with tarfile.open(fileobj=layer) as inner:
            assert inner.getnames() == ["pause"]
            assert inner.getmember("pause").mode == 0o755
    assert manifest[0]["RepoTags"] == ["localhost/pause:1"]
    assert pauseimage.archive(b"program", "localhost/pause:1") == archive


def test_without_root_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(ClusterError, match=r"missing .*: made-up-package"):
        packages.ensure({"a-program-nobody-has": "made-up-package", "sh": "dash"}, lambda _: None)
