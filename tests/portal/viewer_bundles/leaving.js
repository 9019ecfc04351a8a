// Ways to leave the frame, or to take somebody along, a line each; evil and portal are origins.
location = `${evil}/self`
location.replace(`${evil}/replace`)
location = `${portal}/me`
location = `${portal}/static/portal.js`
location = `${portal}/viewer-frame?again`
document.body.append(Object.assign(document.createElement('meta'), {httpEquiv: 'refresh', content: `0;url=${evil}/m`}))
const a = document.createElement('a'); Object.assign(a, {href: `${evil}/a`, ping: `${evil}/ping`}); document.body.append(a); a.click()
const a = document.createElement('a'); Object.assign(a, {href: `${evil}/d`, download: 'x'}); document.body.append(a); a.click()
const a = document.createElement('a'); Object.assign(a, {href: `${evil}/t`, target: '_top'}); document.body.append(a); a.click()
const f = document.createElement('form'); Object.assign(f, {action: `${evil}/f`, method: 'post'}); document.body.append(f); f.submit()
const f = document.createElement('form'); Object.assign(f, {action: `${portal}/lock`, method: 'post'}); document.body.append(f); f.submit()
location = 'data:text/html,<script>fetch(`' + evil + '/data`)</' + 'script>'
location = URL.createObjectURL(new Blob([`<script>fetch('${evil}/blob')</` + 'script>'], {type: 'text/html'}))
location = `javascript:fetch('${evil}/javascript')`
document.open(); document.write(`<script>fetch('${evil}/written')</` + 'script><img src="' + evil + '/written">'); document.close()
