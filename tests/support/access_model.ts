// Who may read what, said a second time: a model of access in memory, written from what the product
// promises (its contract, policies/README.md and the comments of tables and functions), not from
// its SQL. tests/e2e/access_model.test.ts compares the two after every step of many stories.

/** The people of the ward; `model.people()` in access_model.sql has the same order. */
export const PEOPLE = ["pia", "omar", "doc", "dora", "carer", "rel", "admin"] as const;
export type Name = typeof PEOPLE[number];
export const PATIENTS = ["pia", "omar"] as const;
export const DOCTORS = ["doc", "dora"] as const;
export type Patient = typeof PATIENTS[number];
export const RECORDS = ["Scan", "Genes", "Bill", "Note"] as const;
export type RecordName = typeof RECORDS[number];
export type Scope = "records" | "sensitive" | "tracking";
export type Purpose = "treatment" | "care_coordination" | "delegated";
type Kind = "doctor" | "caregiver";

/** What somebody does, or what happens. `by` does it; `other` is the other person in it. */
export type Command =
  | { do: "wait"; minutes: number }
  | { do: "sign_out"; by: Name }
  | { do: "sign_in"; by: Name; aal: "aal1" | "aal2" }
  | { do: "verify" | "set_active"; by: Name; other: Name; says: boolean }
  | { do: "request_care"; by: Name; patient: Patient; other: Name; kind: Kind; scopes: Scope[] }
  | {
    do: "respond_care";
    by: Name;
    patient: Patient;
    other: Name;
    says: boolean;
    scopes: Scope[] | null;
  }
  | { do: "set_scopes"; by: Name; patient: Patient; other: Name; scopes: Scope[] }
  | { do: "end_care"; by: Name; patient: Patient; other: Name }
  | { do: "limit_care"; patient: Patient; other: Name; minutes: number }
  | { do: "open_chart"; by: Name; patient: Patient; purpose: Purpose }
  | { do: "close_chart"; by: Name; patient: Patient; other: Name }
  | { do: "break_glass"; by: Name; patient: Patient; reason: string }
  | { do: "review"; by: Name; patient: Patient; other: Name; says: boolean }
  | { do: "object"; by: Name; patient: Patient; other: Name }
  | { do: "share"; by: Name; record: RecordName; other: Name; minutes: number }
  | { do: "revoke_share"; by: Name; record: RecordName; other: Name }
  | { do: "open_record" | "delete_record" | "restore_record"; by: Name; record: RecordName }
  | { do: "mark"; by: Name; record: RecordName; says: boolean };

/** What came of a command: `done`, the code that refuses it, or `no row` for an update of none. */
export type Outcome = string;

/** What one person sees: rows of `medical_records`, and of `medical_record_contents`. */
export interface View {
  records: RecordName[];
  contents: RecordName[];
}

interface Account {
  role: "patient" | "doctor" | "caregiver" | "admin";
  isVerified: boolean;
  isActive: boolean;
  isSignedIn: boolean;
  aal: "aal1" | "aal2";
}

interface MedicalRecord {
  patient: Patient;
  isSensitive: boolean;
  isDeleted: boolean;
}

interface Care {
  patient: Patient;
  member: Name;
  kind: Kind;
  scopes: Scope[];
  status: "requested" | "active" | "declined" | "ended";
  requestedBy: Name;
  endsAt: number;
}

interface Chart {
  patient: Patient;
  viewer: Name;
  purpose: Purpose | "emergency";
  endsAt: number;
  usedAt: number;
  isClosed: boolean;
  isReviewed: boolean;
  isObjectedTo: boolean;
}

interface Share {
  record: RecordName;
  recipient: Name;
  endsAt: number;
  isRevoked: boolean;
  /** When its recipient last opened the record by this share. */
  openedAt: number;
}

const MINUTE = 60;
const NEVER = -Infinity;

/** Refusals that are in the log of the patient whom they are about. */
const LOGGED = new Set([
  ...["forbidden", "mfa_required", "not_verified", "not_found", "review_pending"],
  ...["already_answered", "already_ended", "already_in_care", "already_objected"],
  ...["already_requested", "already_reviewed", "already_shared"],
]);

/** Thrown where a request is refused; nothing has changed then. */
class Refusal extends Error {}

function refuseIf(condition: boolean, code: string): void {
  if (condition) throw new Refusal(code);
}

/** The ward as the product promises it to be. Times are in seconds from its beginning. */
export class Ward {
  #now = 0;
  #accounts: Record<Name, Account>;
  #records: Record<RecordName, MedicalRecord>;
  #care: Care[] = [];
  #charts: Chart[] = [];
  #shares: Share[] = [];

  /** `inTheMiddle`: as `model.begin_story` leaves it; else nobody but patients has a right. */
  constructor(inTheMiddle: boolean) {
    const account = (role: Account["role"]): Account => ({
      role,
      isVerified: role === "doctor",
      isActive: true,
      isSignedIn: true,
      aal: role === "doctor" || role === "admin" ? "aal2" : "aal1",
    });
    this.#accounts = {
      pia: account("patient"),
      omar: account("patient"),
      doc: account("doctor"),
      dora: account("doctor"),
      carer: account("caregiver"),
      rel: account("patient"),
      admin: account("admin"),
    };
    const record = (patient: Patient, isSensitive: boolean): MedicalRecord => ({
      patient,
      isSensitive,
      isDeleted: false,
    });
    this.#records = {
      Scan: record("pia", false),
      Genes: record("pia", true),
      Bill: record("omar", false),
      Note: record("omar", true),
    };
    if (inTheMiddle) {
      this.#begin({ patient: "pia", member: "doc", kind: "doctor", scopes: [] });
      this.#begin({
        ...{ patient: "pia", member: "carer", kind: "caregiver" },
        scopes: ["records", "sensitive"],
      });
      this.#open("doc", "pia", "treatment", 60);
      this.#open("carer", "pia", "delegated", 60);
      this.#shares.push({
        ...{ record: "Scan", recipient: "rel", endsAt: 2 * 24 * 60 * MINUTE },
        ...{ isRevoked: false, openedAt: 0 },
      });
    }
  }

  #begin(care: Pick<Care, "patient" | "member" | "kind" | "scopes">): void {
    this.#care.push({
      ...care,
      status: "active",
      requestedBy: care.member,
      endsAt: Infinity,
    });
  }

  #open(viewer: Name, patient: Patient, purpose: Chart["purpose"], minutes: number): void {
    this.#charts.push({
      ...{ patient, viewer, purpose, endsAt: this.#now + minutes * MINUTE, usedAt: this.#now },
      ...{ isClosed: false, isReviewed: false, isObjectedTo: false },
    });
  }

  // What is in force ------------------------------------------------------------------------------

  #isLive(name: Name): boolean {
    const { isSignedIn, isActive } = this.#accounts[name];
    return isSignedIn && isActive;
  }

  /** Whether a token carries clinical rights at all: clinicians and admins need two factors. */
  #isClinical(name: Name): boolean {
    const { role, aal } = this.#accounts[name];
    return this.#isLive(name) && ((role !== "doctor" && role !== "admin") || aal === "aal2");
  }

  #isAdmin(name: Name): boolean {
    const { role, aal } = this.#accounts[name];
    return role === "admin" && aal === "aal2";
  }

  #isVerified(name: Name): boolean {
    const { role, isVerified, isActive } = this.#accounts[name];
    return role === "doctor" && isVerified && isActive;
  }

  #activeCare(patient: Patient, member: Name, kind: Kind): Care | undefined {
    return this.#care.find((care) =>
      care.patient === patient && care.member === member && care.kind === kind &&
      care.status === "active" && care.endsAt > this.#now
    );
  }

  /** Neither closed, nor over, nor left alone for 15 minutes. */
  #isOpen(chart: Chart): boolean {
    return !chart.isClosed && chart.endsAt > this.#now && chart.usedAt + 15 * MINUTE > this.#now;
  }

  #isShareLive(share: Share): boolean {
    return !share.isRevoked && share.endsAt > this.#now;
  }

  /** Whether a chart that somebody has open shows them a record. */
  #showsByChart(chart: Chart, record: MedicalRecord): boolean {
    const { viewer, patient, purpose } = chart;
    if (patient !== record.patient || !this.#isOpen(chart)) return false;
    if (purpose === "emergency") return this.#isVerified(viewer);
    if (purpose === "delegated") {
      const scopes = this.#activeCare(patient, viewer, "caregiver")?.scopes ?? [];
      return scopes.includes("records") && (!record.isSensitive || scopes.includes("sensitive"));
    }
    return this.#isVerified(viewer) && this.#activeCare(patient, viewer, "doctor") !== undefined;
  }

  /** On which ground somebody sees a record now. */
  #ground(name: Name, recordName: RecordName): "owner" | "chart" | Share | undefined {
    const record = this.#records[recordName];
    if (!this.#isClinical(name)) return undefined;
    if (record.patient === name) return "owner";
    if (record.isDeleted) return undefined;
    const byChart = this.#charts.some((chart) =>
      chart.viewer === name && this.#showsByChart(chart, record)
    );
    return byChart ? "chart" : this.#shareOf(recordName, name);
  }

  #shareOf(record: RecordName, recipient: Name): Share | undefined {
    return this.#shares.find((share) =>
      share.record === record && share.recipient === recipient && this.#isShareLive(share)
    );
  }

  /** What everybody sees, in the order of {@link PEOPLE}. */
  seen(): View[] {
    return PEOPLE.map((name) => {
      const records = RECORDS.filter((record) => this.#ground(name, record) !== undefined);
      const contents = records.filter((record) => {
        const ground = this.#ground(name, record);
        // By a share one reads what one has opened by it, for an hour.
        return typeof ground === "string" ||
          (ground !== undefined && ground.openedAt + 60 * MINUTE > this.#now);
      });
      return { records, contents };
    });
  }

  // What is done ----------------------------------------------------------------------------------

  /** Carries out a command. */
  obey(command: Command): Outcome {
    try {
      return this.#carryOut(command) ?? "done";
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const patient = LOGGED.has(error.message) ? this.#concerned(command) : undefined;
      if (patient && "by" in command) this.#noteUse(command.by, patient);
      return error.message;
    }
  }

  #carryOut(command: Command): Outcome | void {
    switch (command.do) {
      case "wait":
        this.#now += command.minutes * MINUTE;
        return;
      case "sign_out":
        this.#accounts[command.by].isSignedIn = false;
        return;
      case "sign_in":
        Object.assign(this.#accounts[command.by], { isSignedIn: true, aal: command.aal });
        return;
      case "limit_care": {
        const care = this.#newestCare(command);
        if (care?.status === "active") care.endsAt = this.#now + command.minutes * MINUTE;
        return;
      }
      case "mark": {
        const record = this.#records[command.record];
        if (this.#ground(command.by, command.record) !== "owner" || record.isDeleted) {
          return "no row";
        }
        record.isSensitive = command.says;
        return;
      }
    }
    refuseIf(!this.#isLive(command.by), "unauthenticated");
    switch (command.do) {
      case "verify":
      case "set_active": {
        refuseIf(!this.#isAdmin(command.by), "forbidden");
        const account = this.#accounts[command.other];
        if (command.do === "verify") account.isVerified = command.says;
        else account.isActive = command.says;
        return;
      }
      case "request_care":
        return this.#requestCare(command);
      case "respond_care":
        return this.#respondCare(command);
      case "set_scopes": {
        this.#requireSecondFactor(command.by);
        const care = this.#newestCare(command);
        const isTheirs = care?.patient === command.by && care.kind === "caregiver";
        if (!isTheirs || care.status !== "active") throw new Refusal("not_found");
        refuseIf(command.scopes.length === 0, "invalid_request");
        care.scopes = command.scopes;
        return;
      }
      case "end_care":
        return this.#endCare(command);
      case "open_chart":
        return this.#openChart(command);
      case "close_chart": {
        const chart = this.#newestChart(command);
        if (chart?.viewer !== command.by) throw new Refusal("not_found");
        if (!chart.isClosed && chart.endsAt > this.#now) {
          chart.isClosed = true;
          this.#noteUse(command.by, command.patient);
        }
        return;
      }
      case "break_glass":
        return this.#breakGlass(command);
      case "review": {
        refuseIf(!this.#isAdmin(command.by), "forbidden");
        const chart = this.#newestChart(command, "emergency");
        if (!chart) throw new Refusal("not_found");
        refuseIf(chart.isReviewed, "already_reviewed");
        chart.isReviewed = true;
        if (!command.says) chart.isClosed = true;
        return;
      }
      case "object": {
        const chart = this.#newestChart(command, "emergency");
        if (chart?.patient !== command.by) throw new Refusal("not_found");
        refuseIf(chart.isObjectedTo, "already_objected");
        chart.isObjectedTo = true; // on record; it closes nothing
        return;
      }
      case "share": {
        const { isDeleted } = this.#records[command.record];
        refuseIf(this.#ground(command.by, command.record) !== "owner" || isDeleted, "not_found");
        refuseIf(command.other === command.by, "invalid_request");
        refuseIf(!this.#accounts[command.other].isActive, "not_found");
        refuseIf(this.#shareOf(command.record, command.other) !== undefined, "already_shared");
        this.#shares.push({
          ...{ record: command.record, recipient: command.other, isRevoked: false },
          ...{ endsAt: this.#now + command.minutes * MINUTE, openedAt: NEVER },
        });
        return;
      }
      case "revoke_share": {
        const share = this.#shares.findLast(({ record, recipient }) =>
          record === command.record && recipient === command.other
        );
        const { patient } = this.#records[command.record];
        if (!share || (command.by !== patient && command.by !== share.recipient)) {
          throw new Refusal("not_found");
        }
        if (this.#isShareLive(share)) {
          share.isRevoked = true;
          this.#noteUse(command.by, patient);
        }
        return;
      }
      case "open_record": {
        const ground = this.#ground(command.by, command.record);
        if (ground === "owner") return;
        if (ground === undefined) throw new Refusal("not_found");
        this.#noteUse(command.by, this.#records[command.record].patient);
        if (ground !== "chart") ground.openedAt = this.#now;
        return;
      }
      case "delete_record":
      case "restore_record":
        refuseIf(this.#ground(command.by, command.record) !== "owner", "not_found");
        this.#records[command.record].isDeleted = command.do === "delete_record";
        return;
    }
  }

  /** Whose data a command that is logged is about; undefined when it is about nothing there is. */
  #concerned(command: Command): Patient | undefined {
    switch (command.do) {
      case "request_care":
      case "open_chart":
      case "break_glass":
        return command.patient;
      case "respond_care":
      case "set_scopes":
      case "end_care":
        return this.#newestCare(command)?.patient;
      case "review":
      case "object":
        return this.#newestChart(command, "emergency")?.patient;
      case "revoke_share": {
        const { record, other } = command;
        const isThere = this.#shares.some((s) => s.record === record && s.recipient === other);
        return isThere ? this.#records[record].patient : undefined;
      }
      case "share":
      case "open_record":
      case "delete_record":
      case "restore_record":
        return this.#records[command.record].patient;
    }
  }

  /** Whatever is logged of somebody about a patient keeps their charts of that patient open. */
  #noteUse(viewer: Name, patient: Patient): void {
    for (const chart of this.#charts) {
      if (chart.viewer === viewer && chart.patient === patient && this.#isOpen(chart)) {
        chart.usedAt = this.#now;
      }
    }
  }

  #newestCare({ patient, other }: { patient: Patient; other: Name }): Care | undefined {
    return this.#care.findLast((care) => care.patient === patient && care.member === other);
  }

  #newestChart(
    { patient, other }: { patient: Patient; other: Name },
    purpose?: "emergency",
  ): Chart | undefined {
    return this.#charts.findLast((chart) =>
      chart.patient === patient && chart.viewer === other &&
      (purpose === undefined || chart.purpose === purpose)
    );
  }

  /** Clinicians and administrators let nobody into their own records without it. */
  #requireSecondFactor(by: Name): void {
    const { role, aal } = this.#accounts[by];
    refuseIf((role === "doctor" || role === "admin") && aal !== "aal2", "mfa_required");
  }

  #requestCare(command: Command & { do: "request_care" }): void {
    const { by, patient, kind } = command;
    const member = command.other;
    const scopes = kind === "caregiver" ? command.scopes : [];
    const isAppointment = by === patient;
    if (isAppointment) {
      this.#requireSecondFactor(by);
      const { role, isActive } = this.#accounts[member];
      refuseIf(!isActive || role !== kind, "not_found");
      refuseIf(kind === "doctor" && !this.#isVerified(member), "not_found");
      refuseIf(kind === "caregiver" && scopes.length === 0, "invalid_request");
    } else {
      refuseIf(kind === "doctor" && !this.#isVerified(by), "not_verified");
      refuseIf(!this.#accounts[patient].isActive, "not_found");
    }
    const isOpenAlready = this.#care.some((care) =>
      care.patient === patient && care.member === member && care.kind === kind &&
      (care.status === "requested" || care.status === "active")
    );
    refuseIf(isOpenAlready, "already_requested");
    this.#care.push({
      ...{ patient, member, kind, scopes, requestedBy: by, endsAt: Infinity },
      status: isAppointment ? "active" : "requested",
    });
    this.#noteUse(by, patient);
  }

  #respondCare(command: Command & { do: "respond_care" }): void {
    if (command.says) this.#requireSecondFactor(command.by);
    const care = this.#newestCare(command);
    if (care?.patient !== command.by) throw new Refusal("not_found");
    refuseIf(care.status !== "requested", "already_answered");
    const scopes = care.kind === "caregiver" ? command.scopes ?? care.scopes : [];
    refuseIf(command.says && care.kind === "caregiver" && scopes.length === 0, "invalid_request");
    Object.assign(care, { status: command.says ? "active" : "declined", scopes });
  }

  #endCare(command: Command & { do: "end_care" }): void {
    const care = this.#newestCare(command);
    if (!care || (command.by !== care.patient && command.by !== care.member)) {
      throw new Refusal("not_found");
    }
    const isWithdrawn = care.status === "requested" && care.requestedBy === command.by;
    refuseIf(care.status !== "active" && !isWithdrawn, "already_ended");
    care.status = "ended";
    this.#noteUse(command.by, care.patient);
    for (const chart of this.#charts) {
      const standsOnIt = chart.patient === care.patient && chart.viewer === care.member &&
        chart.purpose !== "emergency";
      if (standsOnIt) chart.isClosed = true;
    }
  }

  #openChart(command: Command & { do: "open_chart" }): void {
    const { by, patient, purpose } = command;
    const kind = purpose === "delegated" ? "caregiver" : "doctor";
    refuseIf(kind === "doctor" && !this.#isVerified(by), "not_verified");
    refuseIf(kind === "doctor" && this.#accounts[by].aal !== "aal2", "mfa_required");
    refuseIf(!this.#activeCare(patient, by, kind), "not_found");
    for (const chart of this.#charts) {
      const isEarlier = chart.viewer === by && chart.patient === patient &&
        chart.purpose !== "emergency";
      if (isEarlier) chart.isClosed = true;
    }
    this.#noteUse(by, patient);
    this.#open(by, patient, purpose, 60);
  }

  #breakGlass(command: Command & { do: "break_glass" }): void {
    const { by, patient } = command;
    refuseIf(command.reason.length < 20 || by === patient, "invalid_request");
    refuseIf(!this.#isVerified(by), "not_verified");
    refuseIf(this.#accounts[by].aal !== "aal2", "mfa_required");
    const waitsForReview = this.#charts.some((chart) =>
      chart.viewer === by && chart.purpose === "emergency" && !chart.isReviewed
    );
    refuseIf(waitsForReview, "review_pending");
    // Who is locked could not be told, and what cannot be told is not opened.
    refuseIf(!this.#accounts[patient].isActive, "not_found");
    refuseIf(this.#activeCare(patient, by, "doctor") !== undefined, "already_in_care");
    this.#noteUse(by, patient);
    this.#open(by, patient, "emergency", 30);
  }
}
