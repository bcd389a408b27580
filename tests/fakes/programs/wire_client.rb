# A Ruby program on the wire, with Ruby's own JSON, floats and hashes: writes, replays, follows, and says what it saw.
require "json"
require "socket"
require "zlib"
require "digest"

def write_frame(socket, document)
  body = JSON.generate(document)
  socket.write([body.bytesize].pack("N") + body.b + [Zlib.crc32(body)].pack("N"))
end

def read_frame(socket)
  header = socket.read(4)
  return nil unless header && header.bytesize == 4
  body = socket.read(header.unpack1("N"))
  crc = socket.read(4)
  return nil unless body && crc && Zlib.crc32(body) == crc.unpack1("N")
  JSON.parse(body.force_encoding("UTF-8"), symbolize_names: true)
end

def rpc(socket, op, members = {})
  write_frame(socket, members.merge(op: op))
  read_frame(socket)
end

def sorted(value)
  case value
  when Hash then value.sort_by { |name, _| name.to_s }.to_h { |name, inner| [name, sorted(inner)] }
  when Array then value.map { |inner| sorted(inner) }
  else value
  end
end

def fact(number, value)
  {
    id: format("00000000-0000-4000-8000-%012d", number), store: "tasks", key: "k", value: value,
    value_hash: Digest::SHA256.hexdigest(JSON.generate(sorted(value))), causation: nil,
    transaction_time: 1_700_000_000.25 + number, valid_time: nil, schema_version: 1, producer: nil, derivation: nil
  }
end

values = [
  { title: "Grüße", n: 1, price: 1.0 },
  { z: [1.5e-7, 1e20, 123.456, -0.5, 100.0, 1e15, 1e16, 0.0001, 0.00001], a: nil, big: 2**80 },
  { nested: { b: true, a: [{}, [], ""] } }
]
events = Queue.new
follower = UNIXSocket.new(ARGV[0])
began = rpc(follower, "subscribe", stores: ["tasks"])
Thread.new { while (event = read_frame(follower)) do events << event end }

socket = UNIXSocket.new(ARGV[0])
written = values.each_with_index.map { |value, number| rpc(socket, "write_fact", fact: fact(number + 1, value)) }
wrong = rpc(socket, "write_fact", fact: fact(9, { x: 1 }).merge(value_hash: "0" * 64))
facts = rpc(socket, "replay")[:facts]
snapshot = rpc(socket, "write_snapshot", facts: facts)
told = written.count { |reply| reply[:ok] }.times.map { events.pop }
stats = rpc(socket, "stats")
closed = rpc(socket, "close")
puts JSON.generate(
  began: began[:ok], written: written.map { |reply| reply[:ok] }, wrong: wrong[:error_code],
  same: facts.map { |one| one[:value] } == values, chain: facts.map { |one| one[:causation] },
  hashes: facts.map { |one| one[:value_hash] } == values.each_with_index.map { |v, n| fact(n + 1, v)[:value_hash] },
  told: told.map { |event| [event[:event], event[:fact][:id]] }, snapshot: snapshot, stats: stats[:facts_written],
  closed: closed[:ok], ended: socket.read(1).nil?
)
