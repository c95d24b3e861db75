"""An Exchange-like store on the ESE engine, its VSS writer, its workload, and the mail that goes in and out as files."""
