// One open conversation: its messages, who is there, who is writing. A conversation's topic changes when
// somebody leaves, is removed or comes later; whoever stays is told where it goes on.

import { clock, dataOf, make } from "./dom.js";

const TYPING_SHOWN_MS = 3000;
const TYPING_TOLD_EVERY_MS = 1500;

/** Opens a conversation in a pane. `conversation` is a row of `list_conversations`. */
export function openTalk({ client, userId, names, conversation, parts, guarded, onChange }) {
  const { id } = conversation;
  const messages = new Map();
  const typing = new Map();
  let participants = [];
  let online = new Set();
  let channel;
  let toldTypingAt = 0;
  let isClosed = false;

  const nameOf = (person) => names.get(person) ?? "Somebody";

  function join(topic) {
    const leaving = channel;
    channel = client.channel(topic, { config: { private: true, presence: { key: userId } } });
    const joined = channel;
    joined
      .on("broadcast", { event: "message" }, ({ payload }) => take(payload))
      // Without content when somebody takes part who came after the message.
      .on("broadcast", { event: "message_edited" }, ({ payload }) => {
        if ("content" in payload) take(payload);
        else load();
      })
      .on("broadcast", { event: "message_deleted" }, ({ payload }) => take(payload))
      .on("broadcast", { event: "typing" }, ({ payload }) => showTyping(payload.user_id))
      .on("broadcast", { event: "participant_added" }, () => load())
      .on("broadcast", { event: "moved" }, ({ payload }) => {
        // Who was removed hears this as the last thing, and may not join where it goes on.
        join(payload.topic);
        load().catch(() => lock());
      })
      .on("presence", { event: "sync" }, () => {
        if (channel !== joined) return;
        online = new Set(Object.keys(joined.presenceState()));
        showParticipants();
      })
      .subscribe(async (status) => {
        if (channel !== joined || isClosed) return;
        if (status === "SUBSCRIBED") await joined.track({});
        else if (status === "CHANNEL_ERROR") lock();
      });
    if (leaving) client.removeChannel(leaving);
  }

  async function load() {
    const [rows, people] = await Promise.all([
      client.rpc("list_messages", { p_conversation_id: id }),
      client.from("conversation_participants").select("user_id, role")
        .eq("conversation_id", id).is("left_at", null),
    ]);
    if (isClosed) return;
    participants = dataOf(people);
    if (!participants.some(({ user_id }) => user_id === userId)) lock();
    for (const row of dataOf(rows)) messages.set(row.id, row);
    showMessages();
    showParticipants();
    await markRead();
  }

  function take(message) {
    typing.delete(message.sender_id);
    messages.set(message.id, message);
    showMessages();
    showTyping();
    onChange();
    if (message.sender_id !== userId) markRead().catch(() => {});
  }

  async function markRead() {
    const newest = Math.max(0, ...messages.keys());
    if (newest === 0) return;
    dataOf(
      await client.rpc("mark_conversation_read", {
        p_id: id,
        p_message_id: newest,
      }),
    );
  }

  function showMessages() {
    const rows = [...messages.values()].sort((a, b) => a.id - b.id);
    parts.messages.replaceChildren(
      ...rows.map(({ sender_id, content, created_at, edited_at, deleted_at }) =>
        make("li", { data: { mine: sender_id === userId, gone: Boolean(deleted_at) } }, [
          make("small", {}, [
            `${sender_id === null ? "" : nameOf(sender_id)} `,
            make("time", { dateTime: created_at, textContent: clock(created_at) }),
            edited_at && !deleted_at ? " edited" : "",
          ]),
          deleted_at ? "This message was deleted" : content,
        ])
      ),
    );
    parts.messages.scrollTop = parts.messages.scrollHeight;
  }

  function showParticipants() {
    const mayRemove = participants.some(({ user_id, role }) =>
      user_id === userId && role === "owner"
    );
    parts.participants.replaceChildren(
      ...participants.map(({ user_id }) => {
        const item = make("li", { data: { online: online.has(user_id), person: user_id } }, [
          user_id === userId ? "You" : nameOf(user_id),
        ]);
        if (mayRemove && user_id !== userId) {
          item.append(make("button", {
            type: "button",
            textContent: "×",
            ariaLabel: `Remove ${nameOf(user_id)}`,
            onclick: guarded(async () => {
              dataOf(
                await client.rpc("remove_participant", {
                  p_conversation_id: id,
                  p_user_id: user_id,
                }),
              );
              await load();
            }),
          }));
        }
        return item;
      }),
    );
  }

  function showTyping(person) {
    if (person && person !== userId) {
      clearTimeout(typing.get(person));
      typing.set(
        person,
        setTimeout(() => {
          typing.delete(person);
          showTyping();
        }, TYPING_SHOWN_MS),
      );
    }
    const who = [...typing.keys()].map(nameOf).join(", ");
    parts.typing.textContent = who && `${who} is writing`;
  }

  /** The caller is no longer in the conversation: what was said stays, nothing more comes. */
  function lock() {
    setWritable(false);
    parts.typing.textContent = "You are no longer in this conversation";
  }

  function setWritable(isWritable) {
    for (const element of parts.compose.elements) element.disabled = !isWritable;
  }

  setWritable(true);
  parts.typing.textContent = "";
  parts.messages.replaceChildren();
  join(conversation.topic);
  return {
    id,
    load,
    async send() {
      const input = parts.compose.elements.content;
      const content = input.value.trim();
      if (!content) return;
      // The same id again, after a lost answer, would be the same message.
      const sent = await client.rpc("send_message", {
        p_conversation_id: id,
        p_content: content,
        p_client_id: crypto.randomUUID(),
      });
      dataOf(sent);
      input.value = "";
    },
    type() {
      if (Date.now() - toldTypingAt < TYPING_TOLD_EVERY_MS) return;
      toldTypingAt = Date.now();
      channel.send({ type: "broadcast", event: "typing", payload: { user_id: userId } });
    },
    close() {
      isClosed = true;
      for (const timer of typing.values()) clearTimeout(timer);
      client.removeChannel(channel);
    },
  };
}
