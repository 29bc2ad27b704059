-- The Redis store's half that runs inside Redis: one function, `tick`, answers everything that waited for it.
-- The files of this folder are one library, put together in the order step, numbers, consents, suppressions, limits, reputation,
-- adaptations, transfers, lanes, ledger, held, unfolding, tick.  Lua counts two hundred local names at most outside functions: so each part between
-- the first and the last declares those that others need, keeps the rest in a block, and puts its operations into OPERATIONS.
--
-- Every operation reads first and collects its writes; they are carried out after it has decided, so that an operation
-- that fails has changed nothing and does not disturb the others.  The caller's store id, schema and key fingerprints
-- are compared before anything is read: a store that was wiped a moment ago answers nobody.
--
-- Keys ({relay} keeps them in one slot; XXX is the first twelve bits of a digest):
--   {relay}:meta             hash    id, schema, fingerprints
--   {relay}:sequence         string  the last number that a step took: one that let copies leave, or brought refusals in force
--   {relay}:d:DIGEST         zset    submission with a copy on its way to this mailbox -> when its lease ends
--   {relay}:s:XXX            hash    digest -> packed list of suppressions, oldest first; never deleted
--   {relay}:c:XXX            hash    digest -> packed list of consent events; append-only
--   {relay}:countries        string  there once an event names a country
--   {relay}:count            hash    reason NUL scope -> entries that are not lifted
--   {relay}:ends:REASON:SCOPE zset   digest -> when its entry expires
--   {relay}:w:KEY:WINDOW     string  packed: held, soonest and latest lease end, then bucket, units, ...
--   {relay}:h:KEY:WINDOW     zset    living reservation -> when its lease ends
--   {relay}:v:RESERVATION    string  packed: reserved at, lease end, then per charge its window and member
--   {relay}:l:KEY            hash    first, ends, and "r" .. recipient -> packed row; where more than one try knows it, lasts:
--                                    when it ends once one of them writes a row
--   {relay}:a:KEY            hash    recipient -> packed: delivered, held or refused, reply, when the try asked that was answered so;
--                                    for as long as another try that began before may take to come
--   {relay}:pauses           hash    stream -> packed: at, by, measure, reason, reason_zh
--   {relay}:adapted          hash    key -> packed: the adaptation as the relay wrote it, its end, its weight
--   {relay}:transferred      hash    YEAR CATEGORY -> persons whose data left the country
--   {relay}:t:YEAR:CATEGORY:XXXX hash the rest of their digests -> ""; XXXX is the first sixteen bits. Until a month after the year
--   {relay}:from             hash    stream -> when it was resumed last; what was sent before counts no more
--   {relay}:sending          hash    stream -> packed: days on which it sent, the last of them
--   {relay}:n:DAY:STREAM     hash    delivered, refused on that day of UTC
--   {relay}:f:MEASURE:STREAM zset    submission NUL recipient -> when it was sent
--   {relay}:hm:MESSAGE       hash    head, octets, at, expires, body, pieces, left (copies), and "c" .. recipient -> packed copy
--   {relay}:hb:BODY          hash    number of a piece, from 0 -> up to 256 KiB of the sealed body
--   {relay}:hs:BODY          list    packed: recipient, packed copy, reply; what is held and has no place of its own yet
--   {relay}:hs:BODY:alone    string  how many of these another try took up; for ten minutes
--   {relay}:folded           list    packed: ledger key, message, BODY, owner of such holds
--   {relay}:hc               zset    message NUL recipient of every copy, all 0: in the order of their names
--   {relay}:hw:WHY           zset    copy -> when it was held
--   {relay}:ho:WHY:OWNER     zset    copy, all 0
--   {relay}:owners           hash    owner -> copies
--   {relay}:login:OWNER      string  packed: sealed login, when its time is over
--   {relay}:lane:LANE        zset    copy -> when a claim may find it; LANE is PRIORITY:KEY
--   {relay}:asleep:PRIORITY  zset    lane with nothing due, or that rests -> when it will be looked at
--   {relay}:turns:PRIORITY   zset    lane with something due -> the round in which it can pay for it
--   {relay}:credit           hash    lane with a turn -> octets that it may send in that round
--   {relay}:resting          zset    lane -> until when
--   {relay}:waiting          hash    KEY of a lane -> copies in it that come back by themselves
--   {relay}:held             hash    octets of all bodies, round:PRIORITY that was served last

local TAG = "{relay}:"
local META = TAG .. "meta"
local COUNT = TAG .. "count"

local OPERATIONS = {} -- by name: functions of a step

-- While a library is being loaded Redis shows it neither math nor cmsgpack, so these are looked up when they are used.
local function pack(list)
  return cmsgpack.pack(list)
end

local function unpack_list(packed)
  return cmsgpack.unpack(packed)
end

local function exact(number)
  return string.format("%.6f", number)
end

local function milliseconds(seconds)
  return string.format("%d", math.ceil(seconds * 1000))
end

-- A step: one operation's arguments, what it has read, and what it wants to write.

local JOINED_WORDS = 1000 -- of one command; Lua takes some 8,000 arguments

local function new_step(arguments, position, now)
  return {
    arguments = arguments, position = position, now = now, now_text = exact(now),
    seen = {}, windows = {}, counts = {}, sums = {}, noted = {}, lanes = {}, tallies = {},
    writes = {}, together = {},
  }
end

local function take(step)
  local value = step.arguments[step.position]
  step.position = step.position + 1
  return value
end

local function take_number(step)
  return tonumber(take(step))
end

local function take_list(step)
  local list = {}
  for i = 1, take_number(step) do
    list[i] = take(step)
  end
  return list
end

local function take_set(step)
  local set = {}
  for _ = 1, take_number(step) do
    set[take(step)] = true
  end
  return set
end

local JOINED = { HSET = true, HDEL = true, ZADD = true, ZREM = true }

-- Fields of one hash and members of one set are written together; other writes to a key keep their order.
local function write(step, command, key, ...)
  local together, may_join = step.together[key], JOINED[command]
  if may_join and together and together[1] == command and #together < JOINED_WORDS then
    for i = 1, select("#", ...) do
      together[#together + 1] = select(i, ...)
    end
    return
  end
  local words = { command, key, ... }
  step.writes[#step.writes + 1] = words
  step.together[key] = may_join and words or nil
end

local function hash_get(step, key, field)
  local fields = step.seen[key]
  if fields and fields[field] ~= nil then
    return fields[field]
  end
  return redis.call("HGET", key, field)
end

local function hash_set(step, key, field, value)
  step.seen[key] = step.seen[key] or {}
  step.seen[key][field] = value
  if value then
    write(step, "HSET", key, field, value)
  else
    write(step, "HDEL", key, field)
  end
end
