-- The upload journal of a hospital before ADR 84, with one batch on chain and one that is not: never changed again.
BEGIN TRANSACTION;
CREATE TABLE adopted (
    sequence INTEGER PRIMARY KEY REFERENCES batch(sequence)  -- a batch whose records must be learned
);
CREATE TABLE batch (
    sequence INTEGER PRIMARY KEY,   -- the storage transaction's number in the hospital's chain of heads
    manifest TEXT NOT NULL,         -- CID of the manifest's root
    list     TEXT NOT NULL,         -- CID of the list of all its blocks; empty if it isn't known
    count    INTEGER NOT NULL,      -- records
    tx       TEXT,                  -- hash of the transaction, once it is mined
    block    INTEGER                -- in which block
);
INSERT INTO batch VALUES(1,'manifest 1','list 1',1,'0x1',40);
INSERT INTO batch VALUES(2,'manifest 2','list 2',3,NULL,NULL);
CREATE TABLE erasing_block (
    header TEXT NOT NULL,       -- of the record
    cid    TEXT NOT NULL,       -- of a block that goes with it
    PRIMARY KEY (header, cid)
) WITHOUT ROWID;
CREATE TABLE erasure (
    header    TEXT PRIMARY KEY, -- CID of the header that the record had last
    content   TEXT NOT NULL,    -- CID of its sealed content
    patient   TEXT NOT NULL,
    category  TEXT NOT NULL,
    year      INTEGER NOT NULL,
    emergency INTEGER NOT NULL, -- whether the emergency lane had it although its category isn't in there
    asked     INTEGER NOT NULL, -- whether its patient asked for it
    sequence  INTEGER NOT NULL, -- of the batch with the statement that says so
    gone_at   INTEGER,          -- Unix seconds at which none of its blocks was in any store
    blocks    INTEGER,          -- how many these were
    stores    INTEGER,          -- in how many stores they were looked for
    attested  INTEGER           -- sequence of the batch with the attestation
) WITHOUT ROWID;
CREATE TABLE followed (
    block    TEXT PRIMARY KEY,      -- CID of a patient's order to re-seal that was followed
    sequence INTEGER NOT NULL       -- of the batch with what it asked for
) WITHOUT ROWID;
CREATE TABLE learned (
    patient  TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL       -- up to which of the adopted batches the patient's records were learned
) WITHOUT ROWID;
CREATE TABLE moved (
    header     TEXT PRIMARY KEY,    -- CID of a header that another one stands for since the record was re-wrapped
    envelope   TEXT NOT NULL,       -- CID of its envelope
    list       TEXT NOT NULL,       -- CID of the batch list that held both
    sequence   INTEGER NOT NULL REFERENCES batch(sequence),  -- of the batch with the new header
    deleted    INTEGER NOT NULL     -- whether the blocks were deleted
);
CREATE TABLE nameless (
    header   TEXT PRIMARY KEY REFERENCES record(header),  -- a record whose source isn't known
    patient  TEXT NOT NULL,
    likeness BLOB NOT NULL          -- what tells a record of the same content
) WITHOUT ROWID;
CREATE TABLE record (
    header     TEXT PRIMARY KEY,    -- CID
    patient    TEXT NOT NULL,
    sequence   INTEGER NOT NULL REFERENCES batch(sequence),
    scope      TEXT NOT NULL,       -- the narrowest lane that finds it
    generation INTEGER NOT NULL,
    source     BLOB NOT NULL,
    part       INTEGER NOT NULL
);
INSERT INTO record VALUES('header 1','0x1111111111111111111111111111111111111111',1,'laboratory/2020',0,X'6161616161616161616161616161616161616161616161616161616161616161',0);
INSERT INTO record VALUES('header 2','0x1111111111111111111111111111111111111111',2,'laboratory/2020',0,X'6161616161616161616161616161616161616161616161616161616161616161',1);
INSERT INTO record VALUES('header 3','0x1111111111111111111111111111111111111111',2,'allergies/2021',0,X'6262626262626262626262626262626262626262626262626262626262626262',0);
INSERT INTO record VALUES('header 4','0x2222222222222222222222222222222222222222',2,'vitals/2022',3,X'6363636363636363636363636363636363636363636363636363636363636363',0);
CREATE TABLE refused_erasure (
    block    TEXT NOT NULL,     -- CID of the patient's order
    content  TEXT NOT NULL,     -- CID of the sealed content that the hospital doesn't erase
    sequence INTEGER NOT NULL,  -- of the batch that tells the patient why
    PRIMARY KEY (block, content)
) WITHOUT ROWID;
CREATE TABLE resource (
    patient  TEXT NOT NULL,
    name     BLOB NOT NULL,   -- keyed fingerprint of type and id
    base     BLOB NOT NULL,   -- of the server's address; empty if it isn't known
    stamp    BLOB NOT NULL,   -- of version, time of the version and content
    print    BLOB NOT NULL,   -- of the content
    rank     INTEGER,         -- the version, if it is a number
    updated  REAL,            -- Unix seconds of the version, if it says so
    scope    TEXT NOT NULL,   -- the narrowest lane of its record
    source   BLOB NOT NULL,   -- from which source
    sequence INTEGER NOT NULL -- of the batch; 0 if the journal was lost since
);
CREATE TABLE sent (
    sequence INTEGER NOT NULL REFERENCES batch(sequence),
    tx       TEXT NOT NULL,
    raw      TEXT NOT NULL,         -- the signed transaction, so that the very same can be sent again
    PRIMARY KEY (sequence, tx)
);
INSERT INTO sent VALUES(1,'0x1','raw 1');
INSERT INTO sent VALUES(2,'0x2','raw 2');
CREATE TABLE source (
    patient  TEXT NOT NULL,
    source   BLOB NOT NULL,         -- what identifies a source of which every record is in a batch
    PRIMARY KEY (patient, source)
) WITHOUT ROWID;
INSERT INTO source VALUES('0x1111111111111111111111111111111111111111',X'6161616161616161616161616161616161616161616161616161616161616161');
INSERT INTO source VALUES('0x2222222222222222222222222222222222222222',X'6363636363636363636363636363636363636363636363636363636363636363');
CREATE TABLE unfinished (
    patient  TEXT NOT NULL,         -- what is in a batch of a source that isn't wholly published yet: the next run may
    source   BLOB NOT NULL,         -- cut the source in another way, because what is sensitive is decided anew
    part     INTEGER NOT NULL,
    sequence INTEGER NOT NULL REFERENCES batch(sequence),
    likeness BLOB NOT NULL          -- what tells a record of the same content
);
INSERT INTO unfinished VALUES('0x1111111111111111111111111111111111111111',X'6262626262626262626262626262626262626262626262626262626262626262',0,2,X'6D6D6D6D6D6D6D6D6D6D6D6D6D6D6D6D6D6D6D6D6D6D6D6D6D6D6D6D6D6D6D6D');
CREATE TABLE waiting (
    patient  TEXT NOT NULL,
    source   BLOB NOT NULL,
    part     INTEGER NOT NULL,      -- a record that waits for a later round (records/jitter.py)
    due      INTEGER NOT NULL,      -- Unix seconds from which it may go
    latest   INTEGER NOT NULL,      -- and from which it must
    PRIMARY KEY (patient, source, part)
) WITHOUT ROWID;
CREATE TABLE withdrawn (
    content  TEXT PRIMARY KEY, -- CID of the record's sealed content, which re-wrapping doesn't change
    patient  TEXT NOT NULL,
    reason   TEXT NOT NULL,
    sequence INTEGER NOT NULL  -- of the batch with the statement
) WITHOUT ROWID;
CREATE TABLE word_list (
    inventory TEXT PRIMARY KEY, -- CID of an inventory, which is sealed for the patient
    words     TEXT NOT NULL     -- CID of the list of words that it names; empty if it names none
) WITHOUT ROWID;
INSERT INTO word_list VALUES('inventory 2','words 2');
CREATE TABLE words_left (
    header TEXT PRIMARY KEY     -- of an erased record of whose list of words this journal doesn't know where it lies
) WITHOUT ROWID
;
CREATE INDEX unfinished_source ON unfinished (patient, source);
CREATE INDEX record_source ON record (patient, source, part);
CREATE INDEX nameless_likeness ON nameless (patient, likeness);
CREATE INDEX resource_name ON resource (patient, name);
COMMIT;
