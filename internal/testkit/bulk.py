"""Carries out changes (LDIF on stdin) on a domain's database, all in one
transaction: over LDAP each is one of its own, and a thousand take minutes.

Argument: the path of smb.conf.
"""

import sys

from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB

parameters = LoadParm()
parameters.load(sys.argv[1])
samdb = SamDB(session_info=system_session(parameters), lp=parameters)
samdb.transaction_start()
samdb.modify_ldif(sys.stdin.read())
samdb.transaction_commit()
