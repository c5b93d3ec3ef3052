// Notifications of one person: what there is at sign-in, then whatever comes on `user:<id>`.

import { clock, dataOf, make } from "./dom.js";

const SHOWN = 20;

/** Joins the person's channel. `onNew` is told of each notification that comes. */
export function createBell({ client, userId, parts, onNew }) {
  let rows = [];

  const show = () => {
    const unread = rows.filter(({ read_at }) => !read_at).length;
    parts["bell-count"].hidden = unread === 0;
    parts["bell-count"].textContent = unread;
    parts["notification-list"].replaceChildren(
      ...rows.map(({ title, body, created_at, read_at }) =>
        make("li", { data: { unread: !read_at } }, [
          make("strong", { textContent: title }),
          " ",
          make("time", { dateTime: created_at, textContent: clock(created_at) }),
          make("div", { textContent: body }),
        ])
      ),
    );
  };
  /** Takes a row in, new or changed. */
  const take = (row) => {
    rows = [row, ...rows.filter(({ id }) => id !== row.id)]
      .sort((a, b) => b.created_at.localeCompare(a.created_at)).slice(0, SHOWN);
    show();
  };

  client.channel(`user:${userId}`, { config: { private: true } })
    .on("broadcast", { event: "notification" }, ({ payload }) => {
      take(payload);
      onNew();
    })
    .on("broadcast", { event: "notification_read" }, ({ payload }) => take(payload))
    .subscribe((status) => {
      parts.state.textContent = status === "SUBSCRIBED" ? "live" : status.toLowerCase();
    });

  return {
    async load() {
      rows = dataOf(
        await client.from("notifications").select("id, title, body, created_at, read_at")
          .order("created_at", { ascending: false }).limit(SHOWN),
      );
      show();
    },
    async readAll() {
      dataOf(await client.rpc("mark_all_notifications_read"));
      await this.load();
    },
  };
}
