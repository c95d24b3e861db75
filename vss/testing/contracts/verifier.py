"""The contract of a verifier, for authors to subclass.

    from vss.testing import VerifierContract

    class TestNotesVerifier(VerifierContract):
        def make_verifier(self):
            return NotesVerifier()

        def sample_files(self):
            return {"D:\\\\Notes\\\\today.txt": b"..."}

The sample must be good; the checks damage copies of it.
"""

from __future__ import annotations

import asyncio

from vss.errors import VssError
from vss.ids import GUID_NULL
from vss.ports import Ports
from vss.roles.verifier import FileVerification, Finding, VerificationReport
from vss.testing.contracts.hidden_inputs import watched
from vss.testing.contracts.verdict import broken, not_applicable
from vss.testing.contracts.verifier_base import FACE, SampleFiles
from vss.testing.contracts.verifier_damage import DamageChecks

_READ_MAX = 64 << 20
_RATE = 10_000.0
_SUSPENSIONS_MAX = 30


class VerifierContract(DamageChecks):
    """Subclass it, override ``make_verifier`` and ``sample_files``; see ``VerifierChecks`` for the rest."""

    def test_the_class_attributes_identify_the_verifier(self) -> None:
        """The writer class that it judges for, and a name."""
        verifier = self.make_verifier()
        if verifier.writer_class_id == GUID_NULL or not verifier.name.strip():
            broken(
                "the verifier does not say whose files it judges",
                expected="writer_class_id of its writer, and a name",
                found=f"{verifier.writer_class_id}, '{verifier.name}'",
                mend="set the class attributes",
                source=FACE,
            )

    def test_the_good_sample_is_good(self) -> None:
        """No finding but warnings, and at least one file judged."""
        report = self.judge(self.sample())
        bad = [each for each in report.findings if not each.is_warning]
        if bad or not report.files or not all(each.is_good for each in report.files):
            broken(
                f"{self.name()} does not accept the good sample",
                expected="files judged, and no finding that is not a warning",
                found=f"{bad[0].path}: {bad[0].code} {bad[0].message}" if bad else f"{len(report.files)} files judged",
                mend="correct the verifier, or the sample",
                source=FACE,
            )

    def test_the_report_is_made_of_the_faces_records(self) -> None:
        """Files and findings are the records that everybody else reads."""
        report = self.judge(self.sample())
        is_right = isinstance(report, VerificationReport) and all(isinstance(each, FileVerification) for each in report.files)
        if not is_right or not all(isinstance(each, Finding) for each in report.findings):
            broken(
                f"{self.name()} answers with something else than a report",
                expected="VerificationReport of FileVerification and Finding",
                found=repr(report)[:100],
                mend="return the records of vss.roles.verifier",
                source=FACE,
            )

    def test_sizes_and_methods_are_reported(self) -> None:
        """What was judged, how, and how long it is."""
        sample = self.sample()
        for each in self.judge(sample).files:
            if each.path not in sample or each.size_bytes != len(sample[each.path]) or not each.method.strip():
                broken(
                    f"{self.name()} reports a file as it is not",
                    expected="a path of the source, its length, the method by which it was judged",
                    found=repr(each),
                    mend="take path and size from the source, and name the method in words",
                    source=FACE,
                )

    def test_the_same_files_give_the_same_report(self) -> None:
        """Twice, by fresh verifiers."""
        sample = self.sample()
        first, second = self.judge(sample), self.judge(sample)
        if first != second:
            broken(
                f"{self.name()} judges the same files differently",
                expected=repr(first)[:300],
                found=repr(second)[:300],
                mend="keep no state in the class, and never iterate a set",
                source=FACE,
            )

    def test_one_verifier_judges_again_and_again(self) -> None:
        """The second verdict of an object does not depend on its first."""
        sample = self.sample()
        path = max(sample, key=lambda each: len(sample[each]))

        async def story(ports: Ports) -> list[VerificationReport]:
            verifier = self.make_verifier()
            sets = [sample, {**sample, path: b"damaged" + sample[path][7:]}, sample]
            return [await verifier.verify(self.source_of(SampleFiles(each))) for each in sets]

        first, _, third = self.play(story)
        if first != third:
            broken(
                f"{self.name()} remembers what it judged before",
                expected=repr(first)[:300],
                found=repr(third)[:300],
                mend="keep what a verification finds in its own record, not in the object",
                source=FACE,
            )

    def test_the_order_of_files_does_not_matter(self) -> None:
        """The good sample backwards is good."""
        report = self.judge(dict(reversed(self.sample().items())))
        bad = [each for each in report.findings if not each.is_warning]
        if bad:
            broken(
                f"{self.name()} depends on the order of the files",
                expected="no finding",
                found=f"{bad[0].path}: {bad[0].code} {bad[0].message}",
                mend="collect first, compare afterwards",
                source=FACE,
            )

    def test_no_files_make_no_success(self) -> None:
        """An empty source: nothing judged, and nothing claimed."""
        if self.judge({}).files:
            broken(
                f"{self.name()} reports files of an empty source",
                expected="no FileVerification",
                found="some",
                mend="report what source.paths() names, and nothing else",
                source=FACE,
            )

    def test_files_of_others_are_no_finding(self) -> None:
        """A text file beside them is not the verifier's business, or at most worth a warning."""
        sample = self.sample()
        stranger = "D:\\Elsewhere\\readme.unknown"
        report = self.judge({**sample, stranger: b"not yours"})
        bad = [each for each in report.findings if each.path == stranger and not each.is_warning]
        if bad:
            broken(
                f"{self.name()} finds fault with a file that is not its writer's",
                expected="no finding, or a warning",
                found=f"{bad[0].code} {bad[0].message}",
                mend="judge the files that belong to the writer, by name or by content",
                source=FACE,
            )

    # -- behaviour -------------------------------------------------------------------------------------------------------------

    def test_progress_is_told(self) -> None:
        """For every judged file: never backwards, never more than all, all at the end."""
        sample = self.sample()
        told: dict[str, list[tuple[int, int]]] = {}
        report = self.judge(sample, progress=lambda path, done, total: told.setdefault(path, []).append((done, total)))
        for each in report.files:
            steps = told.get(each.path, [])
            done = [step for step, _ in steps]
            is_right = done == sorted(done) and all(0 <= step <= total for step, total in steps)
            if each.size_bytes and not (is_right and done and done[-1] == steps[-1][1] == each.size_bytes):
                broken(
                    f"{self.name()} tells progress that is none",
                    expected=f"bytes done up to {each.size_bytes} of {each.path}, never backwards",
                    found=str(steps[-3:]),
                    mend="call progress(path, done, size) after each piece",
                    source=FACE,
                )

    def test_a_throttle_is_obeyed(self) -> None:
        """At 10 kB/s the judged bytes take their time; without a throttle none."""
        sample = self.sample()

        async def story(ports: Ports) -> tuple[float, float, int]:
            instants = [ports.clock.now_ns()]
            for rate in (None, _RATE):
                report = await self.make_verifier().verify(self.source_of(SampleFiles(sample)), throttle_bytes_per_s=rate)
                instants.append(ports.clock.now_ns())
            judged = sum(each.size_bytes for each in report.files)
            return (instants[1] - instants[0]) / 1e9, (instants[2] - instants[1]) / 1e9, judged

        free_s, throttled_s, judged = self.play(story)
        least_s = 0.8 * judged / _RATE
        if throttled_s < least_s or free_s > 1.0:
            broken(
                f"{self.name()} does not keep the throttle",
                expected=f"{judged} bytes at {_RATE:g} bytes/s in at least {least_s:g} s, and no waiting without a throttle",
                found=f"{throttled_s:g} s, and {free_s:g} s without",
                mend="sleep for bytes / throttle_bytes_per_s after each piece",
                source=FACE,
            )

    def test_a_file_that_cannot_be_read_is_no_success(self) -> None:
        """The device fails: a finding, or the error itself; never a good report."""
        sample = self.sample()
        for path in sample:

            async def story(ports: Ports, path: str = path) -> VerificationReport | VssError:
                files = SampleFiles(sample)
                files.fails_at = path
                try:
                    return await self.make_verifier().verify(self.source_of(files))
                except VssError as error:
                    return error

            answer = self.play(story)
            judged = isinstance(answer, VerificationReport) and any(each.path == path for each in answer.files)
            if isinstance(answer, VerificationReport) and answer.is_good and judged:
                broken(
                    f"{self.name()} calls a set good that it could not read",
                    expected=f"a finding for {path}, or the VolumeReadError",
                    found="a good report",
                    mend="let VolumeReadError through, or make a Finding of it",
                    source=FACE,
                )

    def test_reads_are_bounded(self) -> None:
        """Files of any size are read in pieces."""
        files = SampleFiles(self.sample())

        async def story(ports: Ports) -> None:
            await self.make_verifier().verify(self.source_of(files))

        self.play(story)
        if files.longest_read > _READ_MAX:
            broken(
                f"{self.name()} reads {files.longest_read} bytes at once",
                expected=f"at most {_READ_MAX}",
                found=str(files.longest_read),
                mend="read in pieces of a few MiB",
                source=FACE,
            )

    def test_a_verification_can_be_cancelled_anywhere(self) -> None:
        """At each suspension."""
        sample = self.sample()

        async def story(ports: Ports) -> None:
            for turns in range(1, _SUSPENSIONS_MAX):
                files = SampleFiles(sample)
                files.pauses = True
                task = asyncio.create_task(self.make_verifier().verify(self.source_of(files)), name="verify")
                for _ in range(turns):
                    await asyncio.sleep(0)
                if task.done() or not task.cancel():
                    await task
                    return
                await asyncio.wait([task], timeout=600.0)
                if not task.cancelled():
                    broken(
                        f"{self.name()} swallows its cancellation",
                        expected="CancelledError comes out of verify",
                        found=f"cancelled at its suspension {turns}, it went on",
                        mend="never catch BaseException or CancelledError without raising it again",
                        source='Python documentation, asyncio, "Task cancellation"',
                    )

        self.play(story)

    def test_two_verifications_at_once_do_not_mix(self) -> None:
        """One object, a good set and a damaged one, read in turns."""
        sample = self.sample()
        path = next((each for each in sample if sample[each] and self.is_covered(each, 0)), None)
        if path is None:
            not_applicable("is_covered says that no first byte of the sample is protected")

        async def story(ports: Ports) -> tuple[VerificationReport, VerificationReport]:
            verifier = self.make_verifier()
            good, bad = SampleFiles(sample), SampleFiles({**sample, path: bytes([sample[path][0] ^ 1]) + sample[path][1:]})
            good.pauses = bad.pauses = True
            reports = await asyncio.gather(verifier.verify(self.source_of(good)), verifier.verify(self.source_of(bad)))
            return reports[0], reports[1]

        one, other = self.play(story)
        if not one.is_good or other.is_good:
            broken(
                f"{self.name()} mixes two verifications up",
                expected="the good set good, the damaged one not",
                found=f"{one.is_good} and {other.is_good}",
                mend="keep what a verification finds in its own record, not in the object",
                source=FACE,
            )

    def test_clock_and_randomness_come_from_nowhere(self) -> None:
        """A verdict depends on the bytes only."""
        module = type(self.make_verifier()).__module__
        package = module.partition(".")[0]
        sample = self.sample()
        with watched((module if package in ("vss", "tests") else package,)) as seen:
            self.judge(sample)
        if not seen.is_watching:
            not_applicable("another profiler is running")
        if seen.places:
            broken(
                f"{self.name()} reads a clock or draws randomness",
                expected="neither",
                found="; ".join(seen.places),
                mend="judge by the bytes only",
                source=FACE,
            )
