"""Fills the directory of a freshly provisioned domain.

Runs under the distribution's own interpreter, the only one that has samba's
modules. Arguments: the path of smb.conf. The seed comes as JSON on stdin.
"""

import json
import sys
import time

import ldb
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB

MINUTE = 60 * 10**7  # in ticks of 100 ns, the unit of NT times
DAY = 24 * 60 * MINUTE
NORMAL_ACCOUNT = 0x200
ACCOUNTDISABLE = 0x2
DONT_EXPIRE_PASSWORD = 0x10000
AES = 0x18  # aes128-cts and aes256-cts, MS-KILE section 2.2.7
# DSDB_CONTROL_PASSWORD_BYPASS_LAST_SET_OID: lets pwdLastSet hold any time.
BYPASS_LAST_SET = "local_oid:1.3.6.1.4.1.7165.4.3.20:0"


def nt_time(seconds):
    return int((seconds + 11644473600) * 10**7)


def child(samdb, parent, kind, name):
    """A DN below parent; set_component does the escaping."""
    dn = ldb.Dn(samdb, "X=x")
    dn.set_component(0, kind, name)
    dn.add_base(parent)
    return dn


def modify(samdb, dn, controls=None, flags=ldb.FLAG_MOD_REPLACE, **attributes):
    message = ldb.Message(dn)
    for name, value in attributes.items():
        message[name] = ldb.MessageElement(str(value), flags, name)
    samdb.modify(message, controls or [])


def policy(samdb, base, threshold):
    """Nothing may expire by itself while a packed directory is in use."""
    modify(
        samdb, base,
        maxPwdAge=-900 * DAY,
        minPwdAge=0,
        lockoutDuration=-900 * DAY,
        lockOutObservationWindow=-30 * MINUTE,
        lockoutThreshold=threshold,
    )


def add_user(samdb, base, user):
    dn = child(samdb, child(samdb, base, "OU", user["ou"]), "CN", user["name"])
    flags = NORMAL_ACCOUNT
    if user["state"] == "disabled":
        flags |= ACCOUNTDISABLE
    if user["state"] == "never_expires":
        flags |= DONT_EXPIRE_PASSWORD
    entry = {
        "dn": dn,
        "objectClass": "user",
        "sAMAccountName": user["account"],
        "displayName": user["name"],
        "unicodePwd": ('"%s"' % user["password"]).encode("utf-16-le"),
        "userAccountControl": str(flags),
    }
    if user["principal"]:
        entry["servicePrincipalName"] = user["principal"]
        entry["msDS-SupportedEncryptionTypes"] = str(AES)
    if user["upn"]:
        entry["userPrincipalName"] = user["upn"]
    samdb.add(entry)
    return dn


def set_state(samdb, dn, state):
    now = time.time()
    if state == "expired":
        modify(samdb, dn, accountExpires=nt_time(now - 86400))
    elif state == "must_change":
        modify(samdb, dn, pwdLastSet=0)
    elif state == "locked_out":
        modify(samdb, dn, lockoutTime=nt_time(now))
    elif state == "password_expired":
        modify(samdb, dn, [BYPASS_LAST_SET], pwdLastSet=nt_time(now - 2000 * 86400))


def main():
    parameters = LoadParm()
    parameters.load(sys.argv[1])
    seed = json.load(sys.stdin)
    samdb = SamDB(session_info=system_session(parameters), lp=parameters)
    base = ldb.Dn(samdb, seed["base_dn"])
    samdb.transaction_start()
    policy(samdb, base, seed["lockout_threshold"])
    for name in seed["ous"]:
        samdb.add({"dn": child(samdb, base, "OU", name), "objectClass": "organizationalUnit"})
    groups = {}

    def join(dn, names):
        for name in names:
            modify(samdb, groups[name], flags=ldb.FLAG_MOD_ADD, member=dn)

    for group in seed["groups"]:
        dn = child(samdb, child(samdb, base, "OU", "Groups"), "CN", group["name"])
        samdb.add({"dn": dn, "objectClass": "group", "sAMAccountName": group["name"]})
        groups[group["name"]] = dn
        join(dn, group["groups"] or [])
    for user in seed["users"]:
        dn = add_user(samdb, base, user)
        join(dn, user["groups"] or [])
        set_state(samdb, dn, user["state"])
    samdb.transaction_commit()


main()
