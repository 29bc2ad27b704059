-- Ledger: unfinished submissions and the rows of their recipients.

local ledger_key, is_open, row_of, mark_held, outlast, ask_if_later

do
  -- Fields of a row. While it is leaving: DIGESTS is how suppressions know the recipient, COPY_OF the submission. Once it is
  -- settled LEASE_UNTIL is when somebody asked about it last.
  local STATE, REPLY, SUBMISSION, LEASE_UNTIL, ASKED_BY, DIGESTS, COPY_OF = 1, 2, 3, 4, 5, 6, 7

  -- The client of the try that asked about such a row was answered; SUBMISSION is the state that it heard of. Tries that were
  -- opened before find that state for so long.
  local ANSWERED, ANSWERED_SECONDS = "answered", 7200
  local SETTLED = { delivered = true, held = true, refused = true }

  function ledger_key(step)
    return TAG .. "l:" .. take(step)
  end

  function is_open(step, key)
    local ends = hash_get(step, key, "ends")
    return ends and tonumber(ends) > step.now
  end

  local function prolong(step, key, ttl)
    hash_set(step, key, "ends", exact(step.now + ttl))
    write(step, "PEXPIRE", key, milliseconds(ttl))
  end

  -- A try whose rows are to be remembered as long as any: those who were answered before may have cut the time short.
  function outlast(step, key)
    local lasts = hash_get(step, key, "lasts")
    if lasts and tonumber(lasts) > tonumber(hash_get(step, key, "ends") or 0) then
      prolong(step, key, tonumber(lasts) - step.now)
    end
  end

  -- Nil where the client was answered so long ago that nobody can ask any more.
  local function told_row(recipient, row, now)
    local state = row[STATE]
    local is_over = (state == "leaving" or state == ANSWERED) and tonumber(row[LEASE_UNTIL]) <= now
    if state == ANSWERED then
      local is_known = not is_over and SETTLED[row[SUBMISSION]]
      return is_known and { recipient, row[SUBMISSION], row[REPLY], "", "0", ANSWERED } or nil
    end
    local lease_until = state == "leaving" and row[LEASE_UNTIL] or "0"
    return { recipient, is_over and "indeterminate" or state, row[REPLY], row[SUBMISSION], lease_until, "" }
  end

  local function rows_of(step, key, with_answered)
    local rows, all = {}, redis.call("HGETALL", key)
    for i = 1, #all, 2 do
      local row = string.sub(all[i], 1, 1) == "r" and unpack_list(all[i + 1])
      if row and (with_answered or row[STATE] ~= ANSWERED) then
        rows[#rows + 1] = told_row(string.sub(all[i], 2), row, step.now)
      end
    end
    return rows
  end

  -- From now on the client of this try is the one who must hear the outcome.
  local function ask(step, key, recipient, submission)
    local packed = hash_get(step, key, "r" .. recipient)
    local row = packed and unpack_list(packed)
    if row and row[STATE] == ANSWERED then
      hash_set(step, key, "r" .. recipient, false)
    elseif row and (row[ASKED_BY] ~= submission or SETTLED[row[STATE]]) then
      row[ASKED_BY] = submission
      row[LEASE_UNTIL] = SETTLED[row[STATE]] and step.now_text or row[LEASE_UNTIL]
      hash_set(step, key, "r" .. recipient, pack(row))
    end
  end

  -- Ids are in the order of their time.
  function ask_if_later(step, key, recipient, submission)
    local packed = hash_get(step, key, "r" .. recipient)
    local row = packed and unpack_list(packed)
    if row and row[STATE] ~= ANSWERED and row[ASKED_BY] < submission then
      ask(step, key, recipient, submission)
    end
  end

  local function answers_key(key)
    return TAG .. "a:" .. string.sub(key, #TAG + 3)
  end

  -- Those of the recipients about whom a try that was answered asked after this one had begun: it comes late. Also the others.
  local function told_late(step, key, recipients, age)
    local name, told, rows, others = answers_key(key), {}, {}, {}
    local is_late = age > 0 and redis.call("EXISTS", name) == 1
    for _, recipient in ipairs(recipients) do
      local packed = is_late and redis.call("HGET", name, recipient)
      local answer = packed and unpack_list(packed)
      if answer and step.now - age < tonumber(answer[3]) then
        told[recipient] = true
        rows[#rows + 1] = { recipient, answer[1], answer[2], "", "0", ANSWERED }
      else
        others[#others + 1] = recipient
      end
    end
    return told, rows, others
  end

  function OPERATIONS.open(step)
    local key, first, ttl, named, age = ledger_key(step), take_list(step), take_number(step), take_list(step), take_number(step)
    local pause, waiting = pause_of(step, take(step)), waiting_among(step, take_list(step))
    local told, rows, recipients = told_late(step, key, named, age)
    if rows[1] and not recipients[1] then
      return { first, rows, pause, waiting }
    end
    local known = is_open(step, key)
    local kept = known and redis.call("HGET", key, "first")
    if not known then
      write(step, "DEL", key)
    end
    if not kept then
      write(step, "HSET", key, "first", pack(first))
    end
    for _, recipient in ipairs(known and recipients or {}) do
      ask(step, key, recipient, first[1])
    end
    prolong(step, key, ttl)
    if known and (not kept or unpack_list(kept)[1] ~= first[1] or hash_get(step, key, "lasts")) then
      hash_set(step, key, "lasts", exact(step.now + ttl)) -- from now on more than one try knows it
    end
    for _, row in ipairs(known and rows_of(step, key) or {}) do
      rows[#rows + 1] = not told[row[1]] and row or nil
    end
    return { kept and unpack_list(kept) or first, rows, pause, waiting }
  end

  function OPERATIONS.rows(step)
    local key = ledger_key(step)
    return is_open(step, key) and rows_of(step, key, true) or {}
  end

  local function binding(step, digests, scopes, reasons)
    local bound = {}
    for _, digest in ipairs(digests) do
      for _, entry in ipairs(entries_of(step, digest)) do
        if scopes[entry[SCOPE]] and reasons[entry[REASON]] and in_force(entry, step.now) then
          bound[#bound + 1] = told(digest, entry)
        end
      end
    end
    return bound
  end

  function row_of(step, key, recipient)
    local packed = hash_get(step, key, "r" .. recipient)
    return packed and told_row(recipient, unpack_list(packed), step.now)
  end

  local function clear_one(step, key, submission, lease, id)
    local recipient, digests = take(step), take_list(step)
    local scopes, reasons, charges, stream = take_set(step), take_set(step), take_charges(step), take(step)
    local named, grounds, crossing, may_repeat = take(step), take_list(step), take_list(step), take(step) == "1"
    local copy_of = named ~= "" and named or submission
    local bound = binding(step, digests, scopes, reasons)
    if #bound > 0 then
      return { "refused", bound }
    end
    local ended = withdrawn_ground(step, digests, grounds)
    if ended then
      return { "withdrawn", ended }
    end
    local taken = row_of(step, key, recipient)
    if taken and not (taken[2] == "indeterminate" and may_repeat) then
      if taken[6] ~= ANSWERED then
        ask(step, key, recipient, submission)
      end
      return { "taken", taken }
    end
    local pause = pause_of(step, stream)
    if #pause > 0 then
      return { "paused", pause }
    end
    local persons = transfer_met(step, crossing, recipient)
    if persons then
      return { "exhausted", persons }
    end
    local met = #charges > 0 and reserve_all(step, charges, id, lease)
    if met then
      return { "over", met }
    end
    local until_text = exact(step.now + lease)
    local row = { "leaving", "", submission, until_text, submission, table.concat(digests), copy_of }
    hash_set(step, key, "r" .. recipient, pack(row))
    note_leaving(step, digests, copy_of, lease)
    return { "cleared", #charges > 0 and id or "", number_of(step), count_transfer(step, crossing, recipient) }
  end

  function OPERATIONS.clear(step)
    local key, submission, lease, ttl, id = ledger_key(step), take(step), take_number(step), take_number(step), take(step)
    if not is_open(step, key) then -- it expired meanwhile
      redis.call("UNLINK", key) -- with what is left of it, so that its rows are not read
      prolong(step, key, ttl)
    end
    outlast(step, key)
    local answer = {}
    for i = 1, take_number(step) do
      answer[i] = clear_one(step, key, submission, lease, id .. "." .. i)
    end
    return answer
  end

  -- DELIVERED is the last word; any other outcome leaves a row alone that is held, or that another try has claimed meanwhile.
  local function may_change(before, state, submission)
    if not before or state == "delivered" then
      return not before or before[STATE] ~= ANSWERED
    elseif before[STATE] == "held" or before[STATE] == ANSWERED then
      return false
    end
    return before[STATE] ~= "delivered" and (submission == "" or before[SUBMISSION] == submission)
  end

  local function forget_leaving(step, row)
    if row and row[STATE] == "leaving" then
      note_left(step, row[DIGESTS], row[COPY_OF])
    end
  end

  -- A row that becomes delivered, or refused for want of a mailbox, counts once for its stream.
  local function count_row(step, before, state, stream, no_mailbox)
    if stream == "" or (before and before[STATE] == state) then
      return
    end
    if state == "delivered" or (state == "refused" and no_mailbox == "1") then
      count_sent(step, stream, state)
    end
  end

  -- The row of a recipient that is held from now on; the client of the try that asked last must hear of it.
  function mark_held(step, key, recipient, reply, submission)
    local packed = hash_get(step, key, "r" .. recipient)
    local before = packed and unpack_list(packed)
    forget_leaving(step, before)
    local asked_by = before and before[STATE] ~= ANSWERED and before[ASKED_BY] or submission
    hash_set(step, key, "r" .. recipient, pack({ "held", reply, submission, step.now_text, asked_by }))
  end

  function OPERATIONS.finish(step)
    local key = ledger_key(step)
    local has_rows = is_open(step, key)
    for _ = 1, take_number(step) do
      local recipient, state, reply, reservation, submission, stream, no_mailbox =
        unpack(step.arguments, step.position, step.position + 6)
      step.position = step.position + 7
      if reservation ~= "" and state ~= "indeterminate" then -- what nobody knows stays charged until its lease ends
        conclude(step, reservation, state == "delivered")
      end
      local packed = has_rows and hash_get(step, key, "r" .. recipient)
      local before = packed and unpack_list(packed)
      if has_rows and may_change(before, state, submission) then
        count_row(step, before, state, stream, no_mailbox)
        forget_leaving(step, before)
        local by = submission ~= "" and submission or before and before[SUBMISSION] or ""
        local row = state ~= "" and pack({ state, reply, by, step.now_text, before and before[ASKED_BY] or by })
        hash_set(step, key, "r" .. recipient, row)
      end
    end
    return 1
  end

  -- The client of this try was answered; where others know the submission, they find how it ended, and so do late ones.
  local function forget_row(step, key, field, row, has_others, remember)
    forget_leaving(step, row)
    local until_text = exact(step.now + ANSWERED_SECONDS)
    local reply = row[STATE] == "delivered" and "" or row[REPLY]
    if remember > 0 and SETTLED[row[STATE]] then
      write(step, "HSET", answers_key(key), string.sub(field, 2), pack({ row[STATE], reply, row[LEASE_UNTIL] }))
    end
    local answered = has_others and SETTLED[row[STATE]] and pack({ ANSWERED, reply, row[STATE], until_text, row[ASKED_BY] })
    hash_set(step, key, field, answered or false)
  end

  -- What may have happened and nobody knows is no try's to forget.
  local function is_unknown(row, submission)
    return row[STATE] == "indeterminate" or row[STATE] == "leaving" and row[SUBMISSION] ~= submission
  end

  -- It is again its who wrote it, and nobody's if that is who closes.
  local function give_back(step, key, field, row, submission)
    row[ASKED_BY] = row[SUBMISSION] ~= submission and row[SUBMISSION] or ""
    hash_set(step, key, field, pack(row))
  end

  function OPERATIONS.close(step)
    local key, submission, keep, remember = ledger_key(step), take(step), take_set(step), take_number(step)
    local has_others, first = hash_get(step, key, "lasts"), hash_get(step, key, "first")
    local is_left, all = false, redis.call("HGETALL", key)
    for i = 1, #all, 2 do
      if string.sub(all[i], 1, 1) == "r" then
        local row = unpack_list(all[i + 1])
        local is_own = row[ASKED_BY] == submission and row[STATE] ~= ANSWERED
        if is_own and not keep[string.sub(all[i], 2)] and not is_unknown(row, submission) then
          forget_row(step, key, all[i], row, has_others, remember)
        else
          is_left = is_left or row[STATE] ~= ANSWERED
          if is_own then
            give_back(step, key, all[i], row, submission)
          end
        end
      end
    end
    if remember > 0 then
      write(step, "PEXPIRE", answers_key(key), milliseconds(remember))
    end
    if not is_left and has_others and is_open(step, key) then
      hash_set(step, key, "first", false) -- the same bytes are a new message
      prolong(step, key, math.min(ANSWERED_SECONDS, tonumber(hash_get(step, key, "ends")) - step.now))
    elseif not is_left and (not first or unpack_list(first)[1] == submission) then -- else it is not the late try's to forget
      write(step, "UNLINK", key)
    end
    return 1
  end
end
