"""`python -m opstrail_local`: the commands of `opstrail local` alone."""

from opstrail_local.commands import local

local(prog_name="opstrail local")
