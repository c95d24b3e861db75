"""Both documents to XML and back: the public face. Nothing else in the project reads or writes them.

The vocabulary is the vendor's as far as documents written by Windows show it, so real ones can be read and ours look like them;
what they never show (success, options, restore fields …) follows the vendor's parameter names by our own convention. For the
documents read so far, reading and writing again gives the same canonical XML, up to the case of GUIDs.
"""

from vss.documents.xml_reader import parse_backup_components, parse_writer_metadata
from vss.documents.xml_writer import render_backup_components, render_writer_metadata

__all__ = ["parse_backup_components", "parse_writer_metadata", "render_backup_components", "render_writer_metadata"]
