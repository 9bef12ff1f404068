package journal

import (
	"github.com/pgcustos/pgcustos/audit"
)

// The layout of audit/FORMAT.md as the writer uses it. The reader has its own.
const (
	magic         = "PGCUSTOS"
	formatVersion = 3
	headerSize    = 4096 // of a segment

	offVersion    = 8
	offHeaderSize = 12
	offSize       = 16
	offNumber     = 24
	offCreated    = 32
	offStream     = 48
	offBoot       = 64
	offNodeLen    = 80
	offNode       = 82
	offStaticSum  = 508

	offFirst   = 512
	offBegun   = 520
	offChain   = 528
	offOpenSum = 1016
	offState   = 1020
	offMark    = 1024

	recordHeader = 40
	offLength    = 0
	offSum       = 4
	offSequence  = 8
	offTime      = 16
	offType      = 24
	offFlags     = 26
	offCheck     = 28
	offShared    = 32

	flagCut = 1 << 0

	sealType    = 65535
	sealSize    = 96
	sealNext    = 1 // the next segment follows
	sealClosed  = 2
	sealRecover = 3

	maxRecord = 1<<31 - 8 // bytes, header and body

	// outcomeRoom is what one outcome may take; outcomeMessage and outcomeString
	// bound its strings so that it always does.
	outcomeRoom    = 4096
	outcomeMessage = 2048
	outcomeString  = 128

	maxKind  = 255 // of an object
	maxFacts = 255 // of a resolved one

	checkpointType = 15
	chainedHeader  = 1024 // bytes of a segment's header that the chain covers
	maxSums        = 1024 // records that one checkpoint lists
	// closeRoom is kept in each segment for the checkpoint that Close writes.
	closeRoom = 512

	// shareBlock is what a segment is divided into: a record refers to the session's
	// fields of an earlier one in its own block, so that a block can be read by itself.
	shareBlock = 1 << 20

	startDomain  = "pgcustos journal 2\n"
	signedDomain = "pgcustos checkpoint 2\n"
)

// align rounds up to the alignment of records.
func align(n int64) int64 { return (n + 7) &^ 7 }

// The ids of fields.
const (
	fSession, fAccount, fUPN, fSID, fGUID, fDN, fKind, fOwner                       = 1, 2, 3, 4, 5, 6, 7, 8
	fSourceAddress, fSourceVia, fTLS, fCipher                                       = 9, 10, 11, 12
	fMethod, fRule, fGroup, fBackend, fDatabase, fRole, fBackendPID, fAppName, fWhy = 13, 14, 15, 16, 17, 18, 19, 20, 21

	fDecision, fIncident, fCause, fDetail, fUser, fCount = 32, 33, 34, 35, 36, 37

	fDecisionRule, fMissing, fCommand, fClass, fTags, fObject, fText, fForm          = 48, 49, 50, 51, 52, 53, 54, 55
	fName, fFingerprint, fIndex, fOf, fTx, fProtocol                                 = 56, 57, 58, 59, 60, 61
	fTextDigest, fTextBlob                                                           = 62, 63
	fResolution, fResolved, fLeftOut                                                 = 64, 65, 66
	fTraceID, fSpanID, fParamForm, fParamCount, fParamDigest, fParams, fParamBlob    = 70, 71, 72, 73, 74, 75, 76
	fCurrentRole, fDoubt                                                             = 77, 78
	fStatement, fResult, fFate, fSQLSTATE, fMessage, fMessageLen, fRows, fBytes, fNS = 80, 81, 82, 83, 84, 85, 86, 87, 88
	fCopyDigest                                                                      = 89
	fDigest, fChange                                                                 = 96, 97

	fReader, fReaderUID, fReaderLogin, fReaderPID, fFilter = 105, 106, 107, 108, 109

	fAtSegment, fAtOffset, fAtSequence, fChain, fSums, fKey, fSignature, fEarlier = 112, 113, 114, 115, 116, 117, 118, 119
)

// typeNumber returns the number of a type, 0 for one that has none.
func typeNumber(t audit.Type) uint16 {
	switch t {
	case audit.Authentication:
		return 1
	case audit.Authorization:
		return 2
	case audit.Connection:
		return 3
	case audit.SessionStart:
		return 4
	case audit.SessionEnd:
		return 5
	case audit.Prepare:
		return 6
	case audit.Statement:
		return 7
	case audit.Outcome:
		return 8
	case audit.Transaction:
		return 9
	case audit.Cancel:
		return 10
	case audit.Revocation:
		return 11
	case audit.Configuration:
		return 12
	case audit.ParserDied:
		return 13
	case audit.JournalOpened:
		return 14
	case audit.Reading:
		return 20
	case audit.Issued:
		return 21
	case audit.Held:
		return 22
	case audit.Released:
		return 23
	case audit.Account:
		return 24
	case audit.Removed:
		return 25
	case audit.Operation:
		return 27
	case audit.Checkpoint:
		return checkpointType
	}
	return 0
}
