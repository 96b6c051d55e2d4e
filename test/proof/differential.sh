#!/bin/sh
# differential.sh - lets Node's HTTP client and h11 (Debian: nodejs, python3-h11) read the replies of
# differential.txt anew, and says whether they still read them so. What they read now stays in build/.
#
# SPDX-License-Identifier: MIT-0
set -u
table=test/proof/differential.txt
mkdir -p build
. test/checks.sh
for command in node /usr/bin/python3; do
    command -v "$command" >/dev/null || die "no $command"
done

# Each prints a line for each line: the status and the body in hex, or -.
cat >"$work/reader.js" <<'END'
const http = require('http')
const replies = require('fs').readFileSync(0, 'latin1').split('\n').slice(0, -1)
const server = require('net').createServer(socket => {
  socket.on('error', () => {})
  socket.once('data', request => socket.end(replies[/\d+/.exec(request)[0]], 'hex'))
})
const read = n => new Promise(done => {
  const request = http.get({ port: server.address().port, path: `/${n}`, agent: false }, reply => {
    const body = []
    reply.on('data', data => body.push(data))
    reply.on('error', () => done('-'))
    reply.on('end', () => done(`${reply.statusCode} ${Buffer.concat(body).toString('hex')}`))
  })
  request.on('error', () => done('-'))
  request.on('upgrade', (reply, socket) => { socket.destroy(); done('101 ') })
})
server.listen(0, 'localhost', async () => {
  for (let n = 0; n < replies.length; n++) console.log(await read(n))
  server.close()
})
END
cat >"$work/reader.py" <<'END'
import h11, sys
for line in sys.stdin:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method='GET', target='/', headers=[('Host', 'a')]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(bytes.fromhex(line))
    connection.receive_data(b'')
    said, body = '-', b''
    try:
        while said == '-':
            event = connection.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                said = f'{status} {body.hex()}'
            elif not isinstance(event, h11.InformationalResponse):
                break
    except h11.RemoteProtocolError:
        pass
    print(said)
END
build/differential "$table" print >"$work/table" &&
    sed -n 's/^+ \([^ ]*\).*/\1/p' "$work/table" >"$work/replies" &&
    node "$work/reader.js" <"$work/replies" >"$work/node" &&
    /usr/bin/python3 "$work/reader.py" <"$work/replies" >"$work/h11" || exit 1
awk -v by_node="$work/node" -v by_h11="$work/h11" '
    /^[+] / {
        getline node <by_node
        getline h11 <by_h11
        sub(/^[+] [^ ]* /, "")
        kinds = $0 == "-" ? "xnhb" : "BHN="
        read = (node != "-") + 2 * (h11 != "-")
        differs = $0 != "-" && (read % 2 && node != $0 || read > 1 && h11 != $0)
        letters = letters (differs ? "d" : substr(kinds, 1 + read, 1))
        next
    }
    { print (letters == "" ? "" : letters " ") $0; letters = "" }' "$work/table" >build/differential.txt
check "the table as it was" diff "$table" build/differential.txt
end
