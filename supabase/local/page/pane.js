// One pane: a person signs in, sees their conversations and notifications, and opens one conversation
// at a time. Everything after the first look comes over private channels.

import { dataOf, make, partsOf } from "./dom.js";
import { createBell } from "./bell.js";
import { openTalk } from "./talk.js";

const PASSWORD = "beautiful-life-demo";

/** Builds a pane. `people` are the demo people, `newClient` makes a supabase-js client. */
export function createPane({ name, people, newClient }) {
  const root = document.querySelector("#pane").content.cloneNode(true).firstElementChild;
  root.dataset.pane = name;
  root.setAttribute("aria-label", `${name} pane`);
  const parts = partsOf(root);
  parts.people.append(
    ...people.map(({ email, name }) => make("option", { value: email, textContent: name })),
  );
  parts.people.selectedIndex = name === "right" ? 1 : 0;

  /** What is signed in here: client, user id, bell, the open talk. */
  let here;

  const tell = (error) => {
    parts.fault.hidden = !error;
    parts.fault.textContent = error
      ? [error.message, error.details].filter(Boolean).join(": ")
      : "";
  };
  /** Runs what somebody asked for; a failure is shown in the pane and nothing else happens. */
  const guarded = (work) => async (event) => {
    event?.preventDefault();
    tell();
    try {
      await work(event);
    } catch (error) {
      tell(error);
    }
  };

  const signIn = guarded(async () => {
    const client = newClient();
    const email = parts.people.value;
    const { user } = dataOf(await client.auth.signInWithPassword({ email, password: PASSWORD }));
    // Before the first private channel: a join without a token is judged as nobody's.
    await client.realtime.setAuth();
    here = { client, id: user.id, names: new Map() };
    here.bell = createBell({ client, userId: user.id, parts, onNew: () => listConversations() });
    showSignedIn(true);
    await Promise.all([listPeople(), listConversations(), here.bell.load()]);
    parts.name.textContent = here.names.get(user.id) ?? email;
  });

  const signOut = guarded(async () => {
    const { client, talk } = here;
    here = undefined;
    talk?.close();
    await client.removeAllChannels();
    await client.auth.signOut();
    showSignedIn(false);
  });

  function showSignedIn(isIn) {
    parts["sign-in"].hidden = isIn;
    for (const part of ["bar", "columns"]) parts[part].hidden = !isIn;
    parts.talk.hidden = true;
    parts.notifications.hidden = true;
    parts.state.textContent = "";
  }

  async function listPeople() {
    const rows = dataOf(await here.client.from("public_profiles").select("id, display_name"));
    for (const { id, display_name } of rows) here.names.set(id, display_name);
    parts["visible-people"].replaceChildren(
      ...rows.filter(({ id }) => id !== here.id).map(({ id, display_name }) =>
        make("label", {}, [
          make("input", { type: "checkbox", name: "person", value: id }),
          ` ${display_name}`,
          make("br"),
        ])
      ),
    );
  }

  async function listConversations() {
    const rows = dataOf(await here.client.rpc("list_conversations"));
    parts.conversations.replaceChildren(
      ...rows.map((row) => {
        const count = make("b", { className: "count", textContent: row.unread_count });
        count.hidden = row.unread_count === 0 || row.id === here.talk?.id;
        const button = make("button", {
          type: "button",
          onclick: guarded(() => open(row)),
          data: { conversation: row.id },
        }, [
          titleOf(row),
          " ",
          count,
          make("small", { textContent: row.last_message?.content ?? "No message yet" }),
        ]);
        if (row.id === here.talk?.id) button.setAttribute("aria-current", "true");
        return make("li", {}, [button]);
      }),
    );
  }

  /** Its own title; a direct conversation has the other's name. */
  function titleOf({ title, peer_id }) {
    return title ?? here.names.get(peer_id) ?? "Somebody";
  }

  async function open(row) {
    here.talk?.close();
    parts.talk.hidden = false;
    parts.title.textContent = titleOf(row);
    here.talk = openTalk({
      client: here.client,
      userId: here.id,
      names: here.names,
      conversation: row,
      parts,
      guarded,
      onChange: () => listConversations(),
    });
    await here.talk.load();
    await listConversations();
  }

  const start = guarded(async () => {
    const form = new FormData(parts.start);
    const people = form.getAll("person");
    const title = String(form.get("title")).trim();
    const isDirect = people.length === 1 && !title;
    dataOf(
      await here.client.rpc("start_conversation", {
        p_participant_ids: people,
        p_kind: isDirect ? "direct" : "group",
        p_title: isDirect ? null : title || "Group",
      }),
    );
    parts.start.reset();
    await listConversations();
  });

  parts["sign-in"].addEventListener("submit", signIn);
  parts["sign-out"].addEventListener("click", signOut);
  parts.start.addEventListener("submit", start);
  parts.bell.addEventListener("click", () => {
    parts.notifications.hidden = !parts.notifications.hidden;
    parts.bell.setAttribute("aria-expanded", String(!parts.notifications.hidden));
  });
  parts["read-all"].addEventListener("click", guarded(() => here.bell.readAll()));
  parts.compose.addEventListener("submit", guarded(() => here.talk.send()));
  parts.compose.addEventListener("input", () => here?.talk?.type());
  return root;
}
