"""Hostile and malformed documents are refused with line and reason."""

from __future__ import annotations

import pytest

from vss.documents.limits import DOCUMENT_SIZE_MAX_BYTES
from vss.documents.xml import parse_backup_components, parse_writer_metadata
from vss.errors import DocumentError, VssError

IDENTIFICATION = (
    '<IDENTIFICATION writerId="11111111-2222-3333-4444-555555555555" instanceId="AAAAAAAA-0000-0000-0000-000000000001"'
    ' friendlyName="Demo" usage="USER_DATA" dataSource="OTHER" majorVersion="0" minorVersion="0"/>'
)
FLAGS = 'restoreMetadata="no" notifyOnBackupComplete="no" selectable="yes" selectableForRestore="no" componentFlags="0"'
GUID = "11111111-2222-3333-4444-555555555555"


def metadata_xml(locations: str = "", *, identification: str = IDENTIFICATION, prolog: str = "") -> bytes:
    return (
        f'{prolog}<WRITER_METADATA xmlns="x-schema:#VssWriterMetadataInfo" version="1.2">\n{identification}\n'
        f"<BACKUP_LOCATIONS>\n{locations}</BACKUP_LOCATIONS></WRITER_METADATA>"
    ).encode()


def components_xml(components: str, more: str = "") -> bytes:
    return (
        '<BACKUP_COMPONENTS xmlns="x-schema:#VssComponentMetadata" version="1.2" bootableSystemStateBackup="no"\n'
        'selectComponents="yes" backupType="full" partialFileSupport="no">\n'
        f'<WRITER_COMPONENTS instanceId="{GUID}" writerId="{GUID}" backupSchema="0">\n{components}</WRITER_COMPONENTS>{more}'
        "</BACKUP_COMPONENTS>"
    ).encode()


def refusal(data: bytes) -> str:
    with pytest.raises(DocumentError) as error:
        parse_writer_metadata(data, "wmd.xml")
    return error.value.message


def test_the_template_of_these_tests_is_accepted() -> None:
    assert parse_writer_metadata(metadata_xml()).friendly_name == "Demo"
    assert parse_backup_components(components_xml("")).writers[0].components == ()


def test_an_entity_bomb_is_refused_before_anything_is_parsed() -> None:
    bomb = '<?xml version="1.0"?>\n<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>\n'
    assert refusal(metadata_xml(prolog=bomb)) == "wmd.xml, line 2: document type declarations are not accepted"


def test_an_external_document_type_is_refused() -> None:
    assert "document type" in refusal(metadata_xml(prolog='<!DOCTYPE a SYSTEM "file:///etc/passwd">'))


def test_a_document_type_in_utf_16_is_refused_too() -> None:
    data = metadata_xml(prolog="<!DOCTYPE a []>").decode().encode("utf-16")
    assert "document type" in refusal(data)


def test_an_undefined_entity_is_not_well_formed() -> None:
    data = metadata_xml(identification=IDENTIFICATION.replace("Demo", "&demo;"))
    assert refusal(data).startswith("wmd.xml, line 2: not well-formed: Entity 'demo' not defined")


def test_the_size_is_limited() -> None:
    assert refusal(b" " * (DOCUMENT_SIZE_MAX_BYTES + 1)) == "wmd.xml: 16777217 bytes, expected at most 16777216"


def test_the_number_of_elements_is_limited() -> None:
    assert "200001 elements, expected at most 200000" in refusal(b"<a>" + b"<a/>" * 200_000 + b"</a>")


def test_the_number_of_attributes_is_limited() -> None:
    data = b"<a>" + b"<a a='' b='' c='' d='' e='' f=''/>" * 170_000 + b"</a>"
    assert "1020000 attributes, expected at most 1000000" in refusal(data)


def test_the_length_of_a_tag_is_limited() -> None:
    data = b"<a>\n<b " + b"".join(b"a%d='' " % number for number in range(130_000)) + b"/></a>"
    assert refusal(data).startswith("wmd.xml, line 2: a tag of ")


def test_the_length_of_an_attribute_is_limited() -> None:
    data = metadata_xml(identification=IDENTIFICATION.replace("Demo", "x" * 65_537))
    assert refusal(data) == "wmd.xml, line 2: attribute of IDENTIFICATION longer than 65536 characters"


def test_the_depth_is_limited() -> None:
    assert refusal(b"<a>\n" * 65 + b"</a>" * 65) == "wmd.xml, line 65: elements nested deeper than 64"


def test_a_depth_that_would_overflow_a_stack_is_refused_while_parsing() -> None:
    assert "not well-formed: Excessive depth" in refusal(b"<a>" * 100_000 + b"</a>" * 100_000)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not well-formed"),
        (b"\n\n<a", "line 3: not well-formed"),
        (b"<a/>\n\xff", "line 2: not utf-8-sig at byte 5"),
        (b"\xff\xfe<", "not utf-16 at byte"),
        (b"<?xml version='1.0' encoding='utf-7'?><a/>", "line 1: encoding 'utf-7', expected utf-8 or utf-16"),
        (b"<?xml version='1.0'\n encoding='utf-8'?><a></b>", "line 2: not well-formed"),
        (b"<a/>", "No matching global declaration"),
        (metadata_xml("<SECRET/>"), "line 4: not in the schema: Element 'SECRET': This element is not expected"),
        (metadata_xml('<FILE_GROUP xmlns="urn:x"/>'), "line 4: not in the schema"),
        (metadata_xml("text"), "Character content other than whitespace is not allowed"),
        (metadata_xml(f'<FILE_GROUP {FLAGS} componentName="a" icon="b"/>'), "The attribute 'icon' is not allowed"),
        (metadata_xml(f"<FILE_GROUP {FLAGS}/>"), "'componentName' is required but missing"),
        (metadata_xml(f'<FILE_GROUP {FLAGS} componentName="a\\b"/>'), "not accepted by the pattern"),
        (metadata_xml('<EXCLUDE_FILES path="D:\\" filespec="*" recursive="maybe"/>'), "is not an element of the set"),
        (metadata_xml(identification=IDENTIFICATION * 2), "This element is not expected"),
        (metadata_xml(identification=IDENTIFICATION.replace("-5555", "-x555")), "not accepted by the pattern"),
        (metadata_xml(identification=IDENTIFICATION.replace('majorVersion="0"', 'majorVersion="4294967296"')), "majorVersion"),
        (metadata_xml(identification=IDENTIFICATION.replace('majorVersion="0"', 'majorVersion="-1"')), "majorVersion"),
    ],
)
def test_what_is_wrong_is_named(data: bytes, message: str) -> None:
    assert message in refusal(data)


def test_a_message_that_quotes_the_document_is_cut() -> None:
    message = refusal(metadata_xml(identification=IDENTIFICATION.replace("USER_DATA", "x" * 60_000)))
    assert len(message) < 400
    assert message.endswith("…")


def test_a_component_declared_twice_is_refused_without_regard_to_case() -> None:
    groups = f'<FILE_GROUP {FLAGS} componentName="a" logicalPath="p"/>\n<FILE_GROUP {FLAGS} componentName="A" logicalPath="P"/>'
    assert refusal(metadata_xml(groups)) == "wmd.xml, line 5: component 'P\\A' again, first in line 4"


@pytest.mark.parametrize(
    ("components", "more", "message"),
    [
        ('<COMPONENT componentName="a" componentType="x"/>', "", "line 4: not in the schema"),
        ('<COMPONENT componentName="a" componentType="database" backupStamp="é"/>', "", "line 4: backupStamp is not base64"),
        (
            '<COMPONENT componentName="a" componentType="database"/>\n<COMPONENT componentName="A" componentType="filegroup"/>',
            "",
            "line 5: component 'A' again, first in line 4",
        ),
        (
            '<COMPONENT componentName="a" componentType="database"><BACKUP_METADATA xmlns="" metadata=""/>\n'
            '<BACKUP_METADATA xmlns="" metadata=""/></COMPONENT>',
            "",
            "line 5: a second BACKUP_METADATA in one component",
        ),
        (
            '<COMPONENT componentName="a" componentType="database"><BACKUP_METADATA metadata="ZGVtbw=="/></COMPONENT>',
            "",
            "line 4: not in the schema",
        ),
        ("", f'<WRITER_COMPONENTS instanceId="{GUID}" writerId="{GUID}" backupSchema="0"/>', "writer instance"),
    ],
)
def test_a_wrong_backup_components_document_is_refused(components: str, more: str, message: str) -> None:
    with pytest.raises(DocumentError, match=r"^backup components document, line \d+: ") as error:
        parse_backup_components(components_xml(components, more))
    assert message in error.value.message


def test_base64_may_be_broken_over_lines() -> None:
    data = components_xml('<COMPONENT componentName="a" componentType="database" backupStamp=" ZGV&#10;tbw== "/>')
    assert parse_backup_components(data).writers[0].components[0].backup_stamp == b"demo"


def test_a_document_error_is_the_vendors_invalid_xml_document() -> None:
    with pytest.raises(VssError) as error:
        parse_writer_metadata(b"")
    assert error.value.hresult.name == "VSS_E_INVALID_XML_DOCUMENT"


def test_the_prefix_of_the_namespace_does_not_matter() -> None:
    data = metadata_xml(f'<FILE_GROUP {FLAGS} componentName="a"/>').decode()
    prefixed = data.replace("xmlns=", "xmlns:v=").replace("</", "\0").replace("<", "<v:").replace("\0", "</v:")
    assert parse_writer_metadata(prefixed.encode()) == parse_writer_metadata(data.encode())
