"""Writer checks: what Identify answers.

Source of the rules: Volume Shadow Copy Service documentation, "Writer metadata document".
"""

from __future__ import annotations

from vss.documents import Component, FileSpec, WriterMetadata
from vss.documents.machine_paths import is_in_file_set, normalise, volume_of
from vss.documents.xml import parse_writer_metadata, render_writer_metadata
from vss.errors import DocumentError, InvalidArgumentError
from vss.ids import GUID_NULL
from vss.roles.writer import ApplicationLevel
from vss.testing.contracts.direct_session import WHOLE_BACKUP, DirectSession
from vss.testing.contracts.verdict import broken, not_applicable, page
from vss.testing.contracts.writer_base import WriterChecks
from vss.testing.contracts.writer_bench import WriterBench

_DOCUMENT = page("Writer metadata document")


class MetadataChecks(WriterChecks):
    """Identity, document, components."""

    def test_the_class_attributes_identify_the_writer(self) -> None:
        """Class id, name, level and freeze timeout are what the framework and people go by."""

        async def story(bench: WriterBench) -> None:
            writer = bench.writer
            wrong = ""
            if writer.writer_class_id == GUID_NULL:
                wrong = "writer_class_id is the null GUID"
            elif not writer.name.strip():
                wrong = "name is empty"
            elif writer.application_level not in list(ApplicationLevel):
                wrong = f"application_level is {writer.application_level!r}"
            elif not 0 < writer.freeze_timeout_s <= 600:
                wrong = f"freeze_timeout_s is {writer.freeze_timeout_s!r}"
            if wrong:
                broken(
                    f"{bench.name}: {wrong}",
                    expected="a GUID of its own, a name, a level, a freeze timeout of up to 600 s",
                    found=wrong,
                    mend="set the class attribute",
                    source=page("CVssWriter::Initialize"),
                )

        self.play(story)

    def test_identify_answers_with_the_ids_it_was_given(self) -> None:
        """Class id, instance id and instance name of the document are those of the writer."""

        async def story(bench: WriterBench) -> None:
            metadata = await bench.observed.identify()
            if not isinstance(metadata, WriterMetadata):
                broken(
                    f"{bench.name} answers Identify with {type(metadata).__name__}",
                    expected="a WriterMetadata",
                    found=repr(metadata)[:80],
                    mend="return vss.documents.WriterMetadata from identify",
                    source=_DOCUMENT,
                )
            writer = bench.writer
            expected = (writer.writer_class_id, writer.instance_id, writer.instance_name)
            found = (metadata.writer_id, metadata.instance_id, metadata.instance_name)
            if expected != found or not metadata.friendly_name.strip():
                broken(
                    f"{bench.name} identifies itself as another",
                    expected=f"class, instance id and instance name {expected}, and a friendly name",
                    found=f"{found}, friendly name '{metadata.friendly_name}'",
                    mend="take writer_class_id, instance_id and instance_name from self at each identify",
                    source=page("CVssWriter::OnIdentify"),
                )

        self.play(story)

    def test_the_document_is_valid_and_reads_back_as_it_was_written(self) -> None:
        """The metadata, as XML, pass the schema of the document and give the same metadata again."""

        async def story(bench: WriterBench) -> None:
            metadata = await bench.observed.identify()
            try:
                again = parse_writer_metadata(render_writer_metadata(metadata))
            except (DocumentError, InvalidArgumentError, ValueError) as error:
                broken(
                    f"{bench.name} declares metadata that make no valid document",
                    expected="a document that the schema accepts",
                    found=str(error),
                    mend="change what the message names",
                    source=_DOCUMENT,
                )
            if again != metadata:
                broken(
                    f"{bench.name} declares metadata that do not survive the document",
                    expected=repr(metadata),
                    found=repr(again),
                    mend="use plain text without leading or trailing blanks, and declare nothing twice",
                    source=_DOCUMENT,
                )

        self.play(story)

    def test_identify_answers_the_same_each_time(self) -> None:
        """Before, in and after a session, and while other work goes on."""

        async def story(bench: WriterBench) -> None:
            answers = [await bench.observed.identify() for _ in range(2)]
            await bench.demand_backup("while Identify is compared")
            answers.append(await bench.observed.identify())
            if any(each != answers[0] for each in answers):
                broken(
                    f"{bench.name} answers Identify differently each time",
                    expected=repr(answers[0]),
                    found=next(repr(each) for each in answers if each != answers[0]),
                    mend="keep no state in identify, and derive the answer from configuration only",
                    source=page("CVssWriter::OnIdentify"),
                )

        self.play(story)

    def test_identify_may_come_at_any_moment_and_disturbs_nothing(self) -> None:
        """Between any two steps of a backup the answer is the same, and the backup goes on."""

        async def story(session: DirectSession) -> None:
            bench = session.bench
            for step in WHOLE_BACKUP:
                if await bench.observed.identify() != session.metadata:
                    broken(
                        f"{bench.name} answers Identify differently before on_{step}",
                        expected=repr(session.metadata),
                        found="another document",
                        mend="let identify depend on nothing that a backup changes",
                        source=page("CVssWriter::OnIdentify"),
                    )
                await session.demand(step)

        self.play_directly(story)

    def test_identify_changes_no_file(self) -> None:
        """Asking costs nothing: other requestors ask at any time."""

        async def story(bench: WriterBench) -> None:
            before = len(bench.files.changes)
            metadata = await bench.observed.identify()
            changes = bench.changes_of(metadata, bench.files.changes[before:])
            if changes:
                broken(
                    f"{bench.name} changes its files in identify",
                    expected="no change",
                    found=str(changes[0]),
                    mend="move the change to on_prepare_snapshot",
                    source=page("CVssWriter::OnIdentify"),
                )

        self.play(story)

    def test_components_are_told_apart_by_their_paths(self) -> None:
        """Logical path and name together are unique, and every component has a name."""

        async def story(bench: WriterBench) -> None:
            metadata = await bench.observed.identify()
            paths = [each.full_path.lower() for each in metadata.components]
            twice = [path for path in paths if paths.count(path) > 1]
            nameless = [each for each in metadata.components if not each.component_name.strip()]
            if twice or nameless or not paths:
                broken(
                    f"{bench.name} declares components that cannot be selected one by one",
                    expected="at least one component, each with a name and a full path of its own (case does not count)",
                    found=f"twice: {twice[:1]}, without a name: {len(nameless)}, in all: {len(paths)}",
                    mend="give each component its own component_name or logical_path",
                    source=page("Logical pathing of components"),
                )

        self.play(story)

    def test_file_sets_name_places_on_a_volume_of_the_machine(self) -> None:
        """Directories are full paths without wildcards, on volumes that are there; the name alone may have wildcards."""

        async def story(bench: WriterBench) -> None:
            metadata = await bench.observed.identify()
            for component in metadata.components:
                for spec in component.files:
                    self._check_file_set(bench, component, spec)

        self.play(story)

    def _check_file_set(self, bench: WriterBench, component: Component, spec: FileSpec) -> None:
        known = [name.upper() for name in self.volumes]
        for path in [spec.path, *([spec.alternate_location] if spec.alternate_location else [])]:
            problem = ""
            if "*" in path or "?" in path:
                problem = "has a wildcard"
            elif "%" not in path:
                try:
                    if volume_of(normalise(path)).upper() not in known:
                        problem = f"is on none of the volumes {', '.join(self.volumes)}"
                except InvalidArgumentError as error:
                    problem = error.message
            if not spec.filespec.strip() or "\\" in spec.filespec:
                problem = f"has the file name '{spec.filespec}'"
            if problem:
                broken(
                    f"{bench.name}, component '{component.full_path}': the file set in '{path}' {problem}",
                    expected="a directory such as D:\\Data, and a name such as *.db",
                    found=f"path '{path}', filespec '{spec.filespec}'",
                    mend="correct the FileSpec; where the machine lacks the volume, name it in volumes of the contract class",
                    source=page("IVssCreateWriterMetadata::AddFilesToFileGroup"),
                )

    def test_what_the_application_writes_belongs_to_a_component(self) -> None:
        """Files that the application's work changed are in a file set, or nobody would back them up."""

        async def story(bench: WriterBench) -> None:
            if not self.has_work:
                not_applicable("the contract class does not say how the application works (override work)")
            metadata = await bench.observed.identify()
            since = len(bench.files.changes)
            for _ in range(10):
                await bench.work_once()
            own = {path.lower() for path in await bench.own_files(metadata)}
            live = {path.lower() for path in await bench.live_files()}
            written = {change.path.lower() for change in bench.files.changes[since:] if change.kind in ("write", "create")}
            excluded = [(each.path, each.filespec, each.recursive) for each in metadata.excluded]
            missing = sorted(path for path in written & live - own if not any(is_in_file_set(path, *each) for each in excluded))
            if missing:
                broken(
                    f"{bench.name} writes files that no component declares",
                    expected="every file in a file set of a component, or excluded by name",
                    found=missing[0],
                    mend="add a FileSpec to a component, or an ExcludedFiles for what can be made anew",
                    source=page("Working with the writer metadata document"),
                )

        self.play(story)
