/* Cursor read-out and calipers over the ECG.

Places are millimetres from the figure's upper left corner, as `data` has them (ecg_paper.Layout.from_upper_left);
only the pointer's are pixels. Streamlit calls the function again whenever `data` changes, and may replace the figure
at any time, so what is measured outlives both. */

const STEP_S = 0.01
const STEP_MV = 0.05
const LARGE = 10 // steps with Shift
const FIRST_S = 0.8 // between the ends that the keyboard starts with
const LEAST_RATE_MS = 200 // a shorter interval is not one of beats
const CLICK_PX = 3

const HINT = "Drag on the paper to measure. By touch or keyboard, press Calipers first."
const HINT_ON = "Drag from one place to another; a click or Escape removes it. Arrow keys move an end, with Shift further."

const kept = {
  on: false,
  ends: null, // two {x, y}; the first tells the row that is measured
  focused: -1, // the end that the keyboard moves
  shown: null,
}
let stop = () => {}

export default function ({data, parentElement}) {
  stop()
  const ended = new AbortController()
  const [toggle, hint, told] = [".lw-toggle", ".lw-hint", ".lw-told"].map(name => parentElement.querySelector(name))
  let sheet, layer, box, label, cursor, handles
  let drag = null

  /* Geometry. */

  const [left, top, right, bottom] = data.paper
  const inside = ({x, y}) => x >= left && x <= right && y >= top && y <= bottom
  const clamped = ({x, y}) => ({x: Math.min(Math.max(x, left), right), y: Math.min(Math.max(y, top), bottom)})

  function place(event) {
    const area = sheet.getBoundingClientRect()
    return {
      x: (event.clientX - area.left) / area.width * data.width,
      y: (event.clientY - area.top) / area.height * data.height,
    }
  }

  const beside = (x, strip) => Math.max(strip.left - x, x - strip.right, 0)
  const off = (y, strip) => Math.max(strip.baseline - strip.up - y, y - strip.baseline - strip.down, 0)
  const least = (strips, ...measures) => strips.reduce((best, strip) => {
    for (const measure of measures) {
      const difference = measure(strip) - measure(best)
      if (difference) return difference < 0 ? strip : best
    }
    return strip // two columns meet in one place: the later one begins there
  })

  /* The strip whose trace reaches nearest to a place. */
  const stripAt = ({x, y}) => least(data.strips, strip => beside(x, strip),
    strip => off(y, strip), strip => Math.abs(y - strip.baseline))
  /* The strip of the same row at another time. */
  const along = (x, strip) => least(data.strips.filter(one => one.baseline === strip.baseline), one => beside(x, one))
  const seconds = (x, strip) => strip.start_s + (x - strip.left) / data.mm_per_s
  const millivolts = (y, strip) => (strip.baseline - y) / data.mm_per_mv

  const unsignedZero = value => Math.abs(value) < 0.005 ? 0 : value
  const number = value => (unsignedZero(value) < 0 ? "−" : "") + Math.abs(value).toFixed(2)

  function readOut(at, row = null) {
    const strip = row ? along(at.x, row) : stripAt(at)
    return `${strip.lead}  ${number(seconds(at.x, strip))} s  ${number(millivolts(at.y, strip))} mV`
  }

  function measured() {
    const row = stripAt(kept.ends[0])
    const [first, last] = kept.ends.map(end => ({time: seconds(end.x, along(end.x, row)), level: millivolts(end.y, row)}))
      .sort((one, other) => one.time - other.time)
    const ms = Math.round((last.time - first.time) * 1000)
    const mv = unsignedZero(last.level - first.level)
    const rate = ms >= LEAST_RATE_MS ? ` (${Math.round(60000 / ms)} per minute)` : ""
    return `${ms} ms${rate}, ${mv > 0 ? "+" : ""}${number(mv)} mV`
  }

  /* Drawing. */

  function put(element, at) {
    element.style.left = `${at.x / data.width * 100}%`
    element.style.top = `${at.y / data.height * 100}%`
  }

  /* Beside a place, on the side where the window onto the paper has room. */
  function putBeside(element, at) {
    put(element, at)
    const [area, window] = [sheet, sheet.parentElement].map(one => one.getBoundingClientRect())
    const [width, height] = [element.offsetWidth, element.offsetHeight]
    const x = area.left + at.x / data.width * area.width
    const y = area.top + at.y / data.height * area.height
    const across = x + 14 + width > window.right ? -width - 14 : 14
    const down = y - 10 - height < window.top ? 14 : -10 - height
    // Where neither side has room, over the place rather than out of sight.
    const shift = Math.min(Math.max(across, window.left + 2 - x), window.right - 2 - width - x)
    element.style.transform = `translate(${shift}px, ${down}px)`
  }

  function draw(tell = false) {
    toggle.setAttribute("aria-pressed", String(kept.on))
    hint.textContent = kept.on ? HINT_ON : HINT
    if (sheet) {
      sheet.classList.toggle("lw-measuring", kept.on)
      for (const part of [box, label, ...handles]) part.hidden = !kept.ends
      if (kept.ends) {
        const [one, other] = kept.ends
        put(box, {x: Math.min(one.x, other.x), y: Math.min(one.y, other.y)})
        box.style.width = `${Math.abs(one.x - other.x) / data.width * 100}%`
        box.style.height = `${Math.abs(one.y - other.y) / data.height * 100}%`
        const row = stripAt(one)
        handles.forEach((handle, k) => {
          put(handle, kept.ends[k])
          const strip = along(kept.ends[k].x, row)
          const time = seconds(kept.ends[k].x, strip)
          handle.setAttribute("aria-valuenow", Math.max(time, 0).toFixed(2))
          handle.setAttribute("aria-valuemax", Math.max(time, seconds(strip.right, strip)).toFixed(2))
          handle.setAttribute("aria-valuetext", readOut(kept.ends[k], row))
        })
        label.textContent = measured()
        putBeside(label, {x: Math.max(one.x, other.x), y: Math.min(one.y, other.y)})
      }
    }
    if (!kept.ends) told.textContent = ""
    else if (tell) told.textContent = `${stripAt(kept.ends[0]).lead}: ${measured()}`
  }

  function part(name, attributes = {}) {
    const element = document.createElement("div")
    element.className = name
    for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value)
    return layer.appendChild(element)
  }

  /* Streamlit may have put another figure where one was, and does so a moment before or after `data` tells of it. */
  function attach() {
    const one = document.querySelector(".lw-sheet")
    const found = one?.dataset.picture === data.picture ? one : null
    if (found === sheet && (!sheet || layer.isConnected)) return
    layer?.remove()
    sheet = found
    if (!sheet) {
      drag = cursor = handles = null
      return
    }
    layer = document.createElement("div")
    layer.className = "lw-over"
    box = part("lw-box")
    handles = ["start", "end"].map(which => part("lw-end", {
      role: "slider", tabindex: "0", "aria-label": `Caliper ${which}`, "aria-valuemin": "0",
    }))
    label = part("lw-label", {"aria-hidden": "true"})
    cursor = part("lw-label lw-cursor", {"aria-hidden": "true"})
    cursor.hidden = true
    sheet.append(layer)
    drag = null
    draw()
    // The end that had the focus went with the figure.
    if (kept.ends && document.activeElement === document.body) handles[kept.focused]?.focus()
  }

  function remove() {
    kept.ends = null
    draw()
  }

  /* Two ends in the middle of what is seen of the paper, on a baseline. */
  function startInSight() {
    const [area, window] = [sheet, sheet.parentElement].map(one => one.getBoundingClientRect())
    const middle = (from, to, ...others) => (Math.max(from, ...others[0]) + Math.min(to, ...others[1])) / 2
    const at = clamped(place({
      clientX: middle(area.left, area.right, [window.left], [window.right]),
      clientY: middle(area.top, area.bottom, [window.top, 0], [window.bottom, innerHeight]),
    }))
    const y = stripAt(at).baseline
    kept.ends = [-1, 1].map(side => clamped({x: at.x + side * FIRST_S / 2 * data.mm_per_s, y}))
    draw(true)
    handles[0].focus()
  }

  /* Pointer. */

  const listen = (name, handler, target = document) => target.addEventListener(name, handler, {signal: ended.signal})
  const onSheet = event => sheet && event.target instanceof Element && event.target.closest(".lw-sheet") === sheet

  listen("pointerdown", event => {
    if (drag || !event.isPrimary || event.button !== 0 || !onSheet(event)) return
    const handle = handles.indexOf(event.target)
    // A finger or a pen moves the paper until calipers are asked for.
    if (event.pointerType !== "mouse" && !kept.on) return
    const at = place(event)
    if (handle < 0 && !inside(at)) return
    drag = {id: event.pointerId, from: event, at, handle, moved: false}
    sheet.setPointerCapture(event.pointerId)
  })

  listen("pointermove", event => {
    if (drag?.id === event.pointerId) {
      if (!drag.moved && Math.hypot(event.clientX - drag.from.clientX, event.clientY - drag.from.clientY) < CLICK_PX) return
      if (!drag.moved && drag.handle < 0) [kept.on, kept.ends] = [true, [drag.at, drag.at]]
      drag.moved = true
      cursor.hidden = true
      kept.ends = kept.ends.with(drag.handle < 0 ? 1 : drag.handle, clamped(place(event)))
      draw()
      return
    }
    if (!cursor) return
    const at = event.pointerType !== "touch" && !drag && onSheet(event) ? place(event) : null
    cursor.hidden = !at || !inside(at) || beside(at.x, stripAt(at)) > 0
    if (cursor.hidden) return
    cursor.textContent = readOut(at)
    putBeside(cursor, at)
  })

  listen("pointerup", event => {
    if (drag?.id !== event.pointerId) return
    const {moved, handle} = drag
    drag = null
    if (moved) draw(true)
    else if (handle < 0) remove()
  })

  listen("pointercancel", event => {
    if (drag?.id !== event.pointerId) return
    drag = null
    remove()
  })

  // The browser would carry the picture away.
  listen("dragstart", event => onSheet(event) && event.preventDefault())
  const hideCursor = () => cursor && (cursor.hidden = true)
  listen("pointerleave", hideCursor, document.documentElement)
  // Whatever is scrolled, the paper or the page, the place below the pointer is another one.
  document.addEventListener("scroll", hideCursor, {capture: true, signal: ended.signal})

  /* Keyboard. */

  listen("click", event => {
    kept.on = !kept.on
    if (!kept.on) kept.ends = null
    // Pressed by a key; a pointer says itself where.
    if (kept.on && event.detail === 0 && sheet) startInSight()
    else draw()
  }, toggle)

  const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}

  listen("focusin", event => kept.focused = handles ? handles.indexOf(event.target) : -1)

  listen("keydown", event => {
    const handle = handles ? handles.indexOf(document.activeElement) : -1
    if (event.key === "Escape" && kept.ends) {
      drag = null
      if (handle >= 0) {
        kept.on = false
        toggle.focus()
      }
      remove()
    } else if (handle >= 0 && ARROWS[event.key] && kept.ends) {
      event.preventDefault()
      const [across, down] = ARROWS[event.key].map(way => way * (event.shiftKey ? LARGE : 1))
      const {x, y} = kept.ends[handle]
      const to = {x: x + across * STEP_S * data.mm_per_s, y: y + down * STEP_MV * data.mm_per_mv}
      kept.ends = kept.ends.with(handle, clamped(to))
      draw(true)
      handles[handle].scrollIntoView({block: "nearest", inline: "nearest"})
    }
  })

  const watch = new MutationObserver(attach)
  const finish = () => {
    ended.abort()
    watch.disconnect()
    layer?.remove()
  }
  stop = finish
  if (kept.shown !== data.shown) [kept.ends, kept.shown] = [null, data.shown]
  attach()
  draw(true)
  watch.observe(document.body, {childList: true, subtree: true})
  return finish
}
