"""Every error Locker raises, grouped by what must happen next.

The group is the remedy, so schedules, statuses, HTTP codes and the dashboard's buttons follow from
the class alone; `code` is the finer name that travels as the problem's `type`.

    LockerError
        Retry                    later, by itself
            ChildSilent          the child wrote no handshake in time
            ChildDied            the child ended before or while it answered
            ChildMute            the child listens but does not answer in time
            ChildCut             the child's answer broke off in the middle
            CoolingDown          the child keeps crashing; the next start waits
            TooBusy              a bounded queue is full
            RateLimited          the source asked us to slow down
            Offline              the source cannot be reached
            StorageFull          no room on the disk
            Interrupted          a sync was broken off when its process stopped
        Reauthorise              the owner signs in again
            AuthRequired         the service is not signed in
        UserActionNeeded         the owner does something else first
            ServiceDisabled      the owner switched the service off
            SettingsInvalid      settings are missing or wrong
            ConfigInvalid        locker.toml or the environment is wrong
            PortTaken            another program holds the core's port
            AlreadyRunning       another core holds this Me
            FolderUnusable       Me or the checkout cannot be used as it is
            FormatTooNew         a file was written by a newer Locker
            FileDamaged          a file cannot be read and was set aside
            FactDamaged          a fact is not what was written; its position is named
            FilesFull            a service's files have as many bytes as they may
            KeyMissing           a sealed file cannot be opened with the key at hand
        Skip                     this record only; the run goes on
            BadRecord            a record cannot be stored as it is
        Reject                   the caller's fault
            BadRequest           the request cannot be understood
            TokenRequired        no valid token or session came with the request
            Forbidden            the caller may not do this
            NotFound             nothing of that name
            MethodNotAllowed     the path exists, not for this method
            Conflict             the present state forbids it
            LeftOut              nothing is wrong with it; another of the same write could not be added
            SeqMoved             the record stands elsewhere than the write said
            ConflictingDuplicate  another fact has this id
            InvalidFact          a fact cannot be stored; its field is named
            HashMismatch         the hash does not fit the value
            CursorTooOld         that far back nothing is retained
            CursorUnknown        the cursor is of another store or epoch
            BodyTooLarge         the body exceeds the limit
            ManifestInvalid      connector.toml has faults
        Broken                   ours, or the connector's: someone must mend it
            HandshakeInvalid     the child's first line breaks the contract
            AnswerInvalid        the child's answer breaks the rules of HTTP, or ours
            RunMissing           the connector's command cannot be started
            IllegalMove          a lifecycle move that the table forbids
            WriterBusy           another process holds the store's writer lock
"""

from __future__ import annotations


class LockerError(Exception):
    """The root. The message names the subject and what happened; `remedy` says the cure."""

    members: tuple[str, ...] = ()  # What a problem document of this class says beside the usual.
    code = "error"
    status = 500
    title = "Something went wrong"
    default_remedy = "See Me/logs/core.log."
    # Where one error stands for several: the name of each and what it met.
    parts: tuple[tuple[str, str], ...] = ()

    def __init__(self, message: str = "", *, remedy: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message or self.title)
        self.remedy = remedy or self.default_remedy
        self.retry_after_s = retry_after_s

    @property
    def detail(self) -> str:
        """The message as one human sentence."""
        return str(self)


class Retry(LockerError):
    """It will work later without anybody's help; `retry_after_s` says when, if known."""

    code, status, title = "retry", 503, "Not right now"
    default_remedy = "Try again in a moment."


class ChildSilent(Retry):
    """The child wrote no handshake line before its start deadline."""

    code, status, title = "child_silent", 504, "The connector did not start in time"
    default_remedy = "Look at the service's log, or raise limits.start_timeout_s in its connector.toml."


class ChildDied(Retry):
    """The child ended before its handshake, or before it answered."""

    code, status, title = "child_died", 502, "The connector ended unexpectedly"
    default_remedy = "Look at the service's log; the next request starts it afresh."


class ChildMute(Retry):
    """The child accepted a request and did not send its first byte, or went silent, within the limit."""

    code, status, title = "child_mute", 504, "The connector did not answer in time"
    default_remedy = "Try again; if it stays so, restart the service."


class ChildCut(Retry):
    """The child's answer broke off before its end."""

    code, status, title = "child_cut", 502, "The connector's answer broke off"
    default_remedy = "Try again; the service's log may say why."


class CoolingDown(Retry):
    """The child crashed repeatedly, so the next start waits."""

    code, status, title = "cooling_down", 503, "The connector keeps crashing"
    default_remedy = "Look at the service's log, then press Restart."


class TooBusy(Retry):
    """A bounded queue is full."""

    code, status, title = "too_busy", 503, "Too many requests are waiting"
    default_remedy = "Try again in a moment."


class RateLimited(Retry):
    """The source asked for fewer requests."""

    code, status, title = "rate_limited", 429, "The source asked us to slow down"
    default_remedy = "Nothing to do: the next run waits as long as the source asked."


class Offline(Retry):
    """The source, or the network as a whole, cannot be reached."""

    code, status, title = "offline", 503, "The source cannot be reached"
    default_remedy = "Check the network; syncing goes on by itself."


class StorageFull(Retry):
    """The disk is full, or below the margin that syncing keeps free."""

    code, status, title = "storage_full", 507, "The disk is full"
    default_remedy = "Free some space; syncing goes on by itself."


class Interrupted(Retry):
    """A run of a stream was broken off: Locker, or the connector, stopped while it went on."""

    code, status, title = "interrupted", 503, "The sync was broken off"
    default_remedy = "The rest comes with the next sync, soon after the next start; what was stored is kept."


class Reauthorise(LockerError):
    """The owner must sign in again; nothing is lost meanwhile."""

    code, status, title = "reauthorise", 401, "Please sign in again"
    default_remedy = "Open the service's page and press Connect."


class AuthRequired(Reauthorise):
    """The service is not signed in, so it cannot sync."""

    code, status, title = "auth_required", 401, "This service is not signed in"


class UserActionNeeded(LockerError):
    """The owner must do something other than sign in."""

    code, status, title = "user_action_needed", 409, "This needs your attention"
    default_remedy = "Open the service's page."


class ServiceDisabled(UserActionNeeded):
    """The owner switched the service off."""

    code, status, title = "service_disabled", 503, "This service is switched off"
    default_remedy = "Switch it on on its page, or POST /core/<id>/enable."


class SettingsInvalid(UserActionNeeded):
    """Settings are missing or do not fit the manifest."""

    code, status, title = "settings_invalid", 422, "The settings need correcting"
    default_remedy = "Correct the named settings on the service's page."


class ConfigInvalid(UserActionNeeded):
    """locker.toml or a LOCKER_* variable is wrong; every fault is listed."""

    code, status, title = "config_invalid", 500, "The configuration needs correcting"
    default_remedy = "Correct the named keys in config/locker.toml; docs/configuration.md lists them all."


class PortTaken(UserActionNeeded):
    """Another program listens on the core's port; it is never moved silently."""

    code, status, title = "port_taken", 500, "The port is in use"
    default_remedy = "Stop that program, or start with --port N."


class AlreadyRunning(UserActionNeeded):
    """Another core holds this Me."""

    code, status, title = "already_running", 409, "Locker is already running"
    default_remedy = "Use the one that runs, or stop it first."


class FolderUnusable(UserActionNeeded):
    """A folder cannot be written, or lies where a database is not safe."""

    code, status, title = "folder_unusable", 500, "The folder cannot be used"
    default_remedy = "Choose another folder with --me DIR."


class FormatTooNew(UserActionNeeded):
    """A file was written by a newer Locker and is left as it is."""

    code, status, title = "format_too_new", 500, "Written by a newer Locker"
    default_remedy = "Update Locker, or use another Me."


class FileDamaged(UserActionNeeded):
    """A file cannot be read; it was set aside, never overwritten."""

    code, status, title = "file_damaged", 500, "A file is damaged"
    default_remedy = "The damaged file is kept beside the new one; restore it from a backup."


class FactDamaged(UserActionNeeded):
    """A fact is not what was written there; `seq` is its position. The facts after it can be read."""

    members = ("seq",)
    code, status, title = "fact_damaged", 500, "A fact is damaged"
    default_remedy = "Run doctor; a backup holds the fact as it was written."

    def __init__(self, message: str = "", *, seq: int = 0, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.seq = seq


class FilesFull(UserActionNeeded):
    """The files of a service have together as many bytes as they may; what is there already stays."""

    code, status, title = "files_full", 507, "The service's files fill their limit"
    default_remedy = "Raise limits.files_mb in its connector.toml, or collect the files that nothing names."


class KeyMissing(UserActionNeeded):
    """A sealed file cannot be opened with the key at hand."""

    code, status, title = "key_missing", 503, "The key does not fit"
    default_remedy = "Restore Me/key from a backup, or sign in again."


class Skip(LockerError):
    """One record is set aside with its reason; the run goes on."""

    code, status, title = "skip", 422, "A record was set aside"
    default_remedy = "The record is kept in quarantine; it is tried again when the source sends it again."


class BadRecord(Skip):
    """A record cannot be stored: no key, not JSON, too large or too deep."""

    code, title = "bad_record", "A record cannot be stored"


class Reject(LockerError):
    """The caller's fault: repeating the same request cannot help."""

    code, status, title = "reject", 400, "The request was refused"
    default_remedy = "Correct the request."


class BadRequest(Reject):
    """The request cannot be understood."""

    code, title = "bad_request", "The request cannot be understood"


class TokenRequired(Reject):
    """No valid token or session came with the request."""

    code, status, title = "token_required", 401, "Please log in"
    default_remedy = "Open the address that Locker printed at start, or send Authorization: Bearer <token>."


class Forbidden(Reject):
    """The caller is known and may not do this."""

    code, status, title = "forbidden", 403, "Not allowed"
    default_remedy = "Use a token that allows it."


class NotFound(Reject):
    """Nothing of that name."""

    code, status, title = "not_found", 404, "Not found"
    default_remedy = "Check the address."


class MethodNotAllowed(Reject):
    """The path exists, not for this method; state changes are POST, PUT or DELETE."""

    code, status, title = "method_not_allowed", 405, "Method not allowed"
    default_remedy = "Use one of the methods in the Allow header."

    def __init__(self, message: str = "", *, allow: tuple[str, ...], remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.allow = allow


class Conflict(Reject):
    """The present state forbids it."""

    code, status, title = "conflict", 409, "Not in this state"
    default_remedy = "Look at the present state, then try again."


class LeftOut(Reject):
    """Nothing is wrong with this fact; another one of the same atomic write could not be added."""

    code, status, title = "left_out", 409, "Not added, since another fact of the same write could not be"
    default_remedy = "Mend or leave out the one that is refused, then write again."


class SeqMoved(Reject):
    """A write asked for the record as it stood at one position; it stands at another: `current_seq`, 0 for none."""

    members = ("current_seq",)
    code, status, title = "seq_moved", 409, "The record has changed meanwhile"
    default_remedy = "Read the record again and decide anew."

    def __init__(self, message: str = "", *, current_seq: int = 0, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.current_seq = current_seq


class ConflictingDuplicate(Reject):
    """The store has a fact of this id already, and it says something else."""

    code, status, title = "conflicting_duplicate", 409, "Another fact has this id"
    default_remedy = "Give a new fact an id of its own."


class InvalidFact(Reject):
    """A fact that cannot be stored; `field` names what is wrong with it."""

    members = ("field",)
    code, title = "invalid_fact", "The fact cannot be stored"
    default_remedy = "Correct the field that is named."

    def __init__(self, message: str = "", *, field: str = "", remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.field = field


class HashMismatch(Reject):
    """The value_hash that came with a fact is not that of its value."""

    code, title = "hash_mismatch", "The hash does not fit the value"
    default_remedy = "Leave value_hash out, or compute SHA-256 over the canonical JSON of the value."


class CursorTooOld(Reject):
    """What the cursor or the moment asks for lies below what this store retained; `floor` is its first position."""

    members = ("floor",)
    code, status, title = "cursor_too_old", 410, "That far back nothing is retained"
    default_remedy = "Read the current state again and start from its cursor."

    def __init__(self, message: str = "", *, floor: int = 0, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.floor = floor


class CursorUnknown(Reject):
    """The cursor was given by another store, or before a restore."""

    code, status, title = "cursor_unknown", 410, "The cursor is not of this store"
    default_remedy = "Read the current state again and start from its cursor."


class BodyTooLarge(Reject):
    """The request's body exceeds the limit."""

    code, status, title = "body_too_large", 413, "The body is too large"
    default_remedy = "Send less, or raise limits.body_bytes_max in config/locker.toml."


class ManifestInvalid(Reject):
    """connector.toml has faults; `faults` names each with its key."""

    members = ("faults",)
    code, status, title = "manifest_invalid", 422, "The connector's manifest has faults"
    default_remedy = "Correct the named keys in connector.toml; docs/connectors.md describes them."

    def __init__(self, message: str = "", *, faults: tuple[str, ...] = (), remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.faults = faults


class Broken(LockerError):
    """Ours, or the connector's: waiting does not help, someone must mend it."""

    code, status, title = "broken", 500, "Something is broken"
    default_remedy = "See the service's log, or Me/logs/core.log."


class HandshakeInvalid(Broken):
    """The child's announcement breaks the contract: not JSON, a port it does not own, too much noise."""

    code, status, title = "handshake_invalid", 502, "The connector's greeting is not valid"


class AnswerInvalid(Broken):
    """The child's answer breaks the rules of HTTP, or leads where no answer may: it is not passed on."""

    code, status, title = "answer_invalid", 502, "The connector's answer is not valid"


class RunMissing(Broken):
    """The manifest's `run` command cannot be started."""

    code, status, title = "run_missing", 502, "The connector's command cannot be started"
    default_remedy = "Install the program named in connector.toml's run, then press Restart."


class IllegalMove(Broken):
    """A lifecycle move that the table forbids: a fault in Locker itself."""

    code, title = "illegal_move", "A state change that cannot happen"


class WriterBusy(Broken):
    """Another process holds the store's writer lock."""

    code, status, title = "writer_busy", 503, "Another process writes this store"
    default_remedy = "Stop the other process; Me/<id>/store.lock names it."
