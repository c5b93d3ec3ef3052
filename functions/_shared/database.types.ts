// Types of the tables, views and functions that the API serves, for supabase-js. Made by
// `deno task gen:types` from the database; change sql/, not this file.

export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[];

export type Database = {
  "public": {
    Tables: {
      "account_grants": {
        Row: {
          "created_at": string;
          "grant": string;
          "granted_by": string | null;
          "id": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "grant": string;
          "granted_by"?: string | null;
          "id"?: string;
          "user_id": string;
        };
        Update: {
          "created_at"?: string;
          "grant"?: string;
          "granted_by"?: string | null;
          "id"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "account_grants_granted_by_fkey";
            columns: ["granted_by"];
            isOneToOne: false;
            referencedRelation: "profiles";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "account_grants_user_id_fkey";
            columns: ["user_id"];
            isOneToOne: false;
            referencedRelation: "profiles";
            referencedColumns: ["id"];
          },
        ];
      };
      "audit_events": {
        Row: {
          "action": string;
          "actor_id": string | null;
          "actor_role": string;
          "id": number;
          "ip_address": unknown;
          "leaf_hash": string;
          "new_values": Json | null;
          "occurred_at": string;
          "old_values": Json | null;
          "patient_id": string | null;
          "purpose": string | null;
          "request_id": string | null;
          "resource_id": string | null;
          "resource_type": string;
          "session_id": string | null;
          "transaction_id": unknown;
          "user_agent": string | null;
        };
        ComputedFields: never;
        Insert: {
          "action": string;
          "actor_id"?: string | null;
          "actor_role": string;
          "id"?: never;
          "ip_address"?: unknown;
          "leaf_hash"?: never;
          "new_values"?: Json | null;
          "occurred_at"?: string;
          "old_values"?: Json | null;
          "patient_id"?: string | null;
          "purpose"?: string | null;
          "request_id"?: string | null;
          "resource_id"?: string | null;
          "resource_type": string;
          "session_id"?: string | null;
          "transaction_id"?: unknown;
          "user_agent"?: string | null;
        };
        Update: {
          "action"?: string;
          "actor_id"?: string | null;
          "actor_role"?: string;
          "id"?: never;
          "ip_address"?: unknown;
          "leaf_hash"?: never;
          "new_values"?: Json | null;
          "occurred_at"?: string;
          "old_values"?: Json | null;
          "patient_id"?: string | null;
          "purpose"?: string | null;
          "request_id"?: string | null;
          "resource_id"?: string | null;
          "resource_type"?: string;
          "session_id"?: string | null;
          "transaction_id"?: unknown;
          "user_agent"?: string | null;
        };
        Relationships: [];
      };
      "audit_seals": {
        Row: {
          "from_id": number;
          "hash": string;
          "id": number;
          "is_drained": boolean;
          "is_restart": boolean;
          "leaf_count": number;
          "merkle_root": string;
          "previous_hash": string | null;
          "sealed_at": string;
          "snapshot": unknown;
          "to_id": number;
        };
        ComputedFields: never;
        Insert: {
          "from_id": number;
          "hash"?: never;
          "id": number;
          "is_drained": boolean;
          "is_restart": boolean;
          "leaf_count": number;
          "merkle_root": string;
          "previous_hash"?: string | null;
          "sealed_at": string;
          "snapshot": unknown;
          "to_id": number;
        };
        Update: {
          "from_id"?: number;
          "hash"?: never;
          "id"?: number;
          "is_drained"?: boolean;
          "is_restart"?: boolean;
          "leaf_count"?: number;
          "merkle_root"?: string;
          "previous_hash"?: string | null;
          "sealed_at"?: string;
          "snapshot"?: unknown;
          "to_id"?: number;
        };
        Relationships: [];
      };
      "blocks": {
        Row: {
          "blocked_id": string;
          "blocker_id": string;
          "created_at": string;
          "id": string;
        };
        ComputedFields: never;
        Insert: {
          "blocked_id": string;
          "blocker_id"?: string;
          "created_at"?: string;
          "id"?: string;
        };
        Update: {
          "blocked_id"?: string;
          "blocker_id"?: string;
          "created_at"?: string;
          "id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "blocks_blocker_id_fkey";
            columns: ["blocker_id"];
            isOneToOne: false;
            referencedRelation: "profiles";
            referencedColumns: ["id"];
          },
        ];
      };
      "care_relationships": {
        Row: {
          "created_at": string;
          "ended_reason": string | null;
          "ends_at": string | null;
          "id": string;
          "kind": string;
          "member_id": string;
          "patient_id": string;
          "requested_by": string;
          "scopes": (string)[];
          "starts_at": string | null;
          "status": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "ended_reason"?: string | null;
          "ends_at"?: string | null;
          "id"?: string;
          "kind": string;
          "member_id": string;
          "patient_id": string;
          "requested_by": string;
          "scopes"?: (string)[];
          "starts_at"?: string | null;
          "status"?: string;
          "updated_at"?: string;
        };
        Update: {
          "created_at"?: string;
          "ended_reason"?: string | null;
          "ends_at"?: string | null;
          "id"?: string;
          "kind"?: string;
          "member_id"?: string;
          "patient_id"?: string;
          "requested_by"?: string;
          "scopes"?: (string)[];
          "starts_at"?: string | null;
          "status"?: string;
          "updated_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "care_relationships_member_id_fkey";
            columns: ["member_id"];
            isOneToOne: false;
            referencedRelation: "profiles";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "care_relationships_patient_id_fkey";
            columns: ["patient_id"];
            isOneToOne: false;
            referencedRelation: "patients";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "care_relationships_requested_by_fkey";
            columns: ["requested_by"];
            isOneToOne: false;
            referencedRelation: "profiles";
            referencedColumns: ["id"];
          },
        ];
      };
      "chart_sessions": {
        Row: {
          "closed_at": string | null;
          "created_at": string;
          "expires_at": string;
          "id": string;
          "last_used_at": string;
          "objected_at": string | null;
          "objection": string | null;
          "opened_at": string;
          "patient_id": string;
          "purpose": string;
          "reason": string | null;
          "review_note": string | null;
          "review_outcome": string | null;
          "reviewed_at": string | null;
          "reviewed_by": string | null;
          "updated_at": string;
          "viewer_id": string;
        };
        ComputedFields: never;
        Insert: {
          "closed_at"?: string | null;
          "created_at"?: string;
          "expires_at": string;
          "id"?: string;
          "last_used_at"?: string;
          "objected_at"?: string | null;
          "objection"?: string | null;
          "opened_at"?: string;
          "patient_id": string;
          "purpose": string;
          "reason"?: string | null;
          "review_note"?: string | null;
          "review_outcome"?: string | null;
          "reviewed_at"?: string | null;
          "reviewed_by"?: string | null;
          "updated_at"?: string;
          "viewer_id": string;
        };
        Update: {
          "closed_at"?: string | null;
          "created_at"?: string;
          "expires_at"?: string;
          "id"?: string;
          "last_used_at"?: string;
          "objected_at"?: string | null;
          "objection"?: string | null;
          "opened_at"?: string;
          "patient_id"?: string;
          "purpose"?: string;
          "reason"?: string | null;
          "review_note"?: string | null;
          "review_outcome"?: string | null;
          "reviewed_at"?: string | null;
          "reviewed_by"?: string | null;
          "updated_at"?: string;
          "viewer_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "chart_sessions_patient_id_fkey";
            columns: ["patient_id"];
            isOneToOne: false;
            referencedRelation: "patients";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "chart_sessions_reviewed_by_fkey";
            columns: ["reviewed_by"];
            isOneToOne: false;
            referencedRelation: "profiles";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "chart_sessions_viewer_id_fkey";
            columns: ["viewer_id"];
            isOneToOne: false;
            referencedRelation: "profiles";
            referencedColumns: ["id"];
          },
        ];
      };
      "conversation_participants": {
        Row: {
          "conversation_id": string;
          "created_at": string;
          "id": string;
          "joined_at": string;
          "joined_seq": number;
          "last_read_message_id": number | null;
          "last_read_seq": number;
          "last_sent_seq": number;
          "left_at": string | null;
          "left_seq": number | null;
          "patient_id": string | null;
          "role": string;
          "updated_at": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "conversation_id": string;
          "created_at"?: string;
          "id"?: string;
          "joined_at"?: string;
          "joined_seq"?: number;
          "last_read_message_id"?: number | null;
          "last_read_seq"?: number;
          "last_sent_seq"?: number;
          "left_at"?: string | null;
          "left_seq"?: number | null;
          "patient_id"?: string | null;
          "role"?: string;
          "updated_at"?: string;
          "user_id": string;
        };
        Update: {
          "conversation_id"?: string;
          "created_at"?: string;
          "id"?: string;
          "joined_at"?: string;
          "joined_seq"?: number;
          "last_read_message_id"?: number | null;
          "last_read_seq"?: number;
          "last_sent_seq"?: number;
          "left_at"?: string | null;
          "left_seq"?: number | null;
          "patient_id"?: string | null;
          "role"?: string;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "conversation_participants_conversation_id_fkey";
            columns: ["conversation_id"];
            isOneToOne: false;
            referencedRelation: "conversations";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "conversation_participants_user_id_fkey";
            columns: ["user_id"];
            isOneToOne: false;
            referencedRelation: "profiles";
            referencedColumns: ["id"];
          },
        ];
      };
      "conversations": {
        Row: {
          "community_id": string | null;
          "created_at": string;
          "created_by": string | null;
          "epoch": number;
          "id": string;
          "kind": string;
          "last_message_at": string | null;
          "last_message_id": number | null;
          "last_seq": number;
          "pair": (string)[] | null;
          "patient_id": string | null;
          "title": string | null;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "community_id"?: string | null;
          "created_at"?: string;
          "created_by"?: string | null;
          "epoch"?: number;
          "id"?: string;
          "kind": string;
          "last_message_at"?: string | null;
          "last_message_id"?: number | null;
          "last_seq"?: number;
          "pair"?: (string)[] | null;
          "patient_id"?: string | null;
          "title"?: string | null;
          "updated_at"?: string;
        };
        Update: {
          "community_id"?: string | null;
          "created_at"?: string;
          "created_by"?: string | null;
          "epoch"?: number;
          "id"?: string;
          "kind"?: string;
          "last_message_at"?: string | null;
          "last_message_id"?: number | null;
          "last_seq"?: number;
          "pair"?: (string)[] | null;
          "patient_id"?: string | null;
          "title"?: string | null;
          "updated_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "conversations_created_by_fkey";
            columns: ["created_by"];
            isOneToOne: false;
            referencedRelation: "profiles";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "conversations_patient_id_fkey";
            columns: ["patient_id"];
            isOneToOne: false;
            referencedRelation: "patients";
            referencedColumns: ["id"];
          },
        ];
      };
      "device_tokens": {
        Row: {
          "auth": string | null;
          "created_at": string;
          "endpoint": string | null;
          "id": string;
          "last_seen_at": string;
          "p256dh": string | null;
          "platform": string;
          "retired_at": string | null;
          "retired_reason": string | null;
          "token": string | null;
          "updated_at": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "auth"?: string | null;
          "created_at"?: string;
          "endpoint"?: string | null;
          "id"?: string;
          "last_seen_at"?: string;
          "p256dh"?: string | null;
          "platform": string;
          "retired_at"?: string | null;
          "retired_reason"?: string | null;
          "token"?: string | null;
          "updated_at"?: string;
          "user_id": string;
        };
        Update: {
          "auth"?: string | null;
          "created_at"?: string;
          "endpoint"?: string | null;
          "id"?: string;
          "last_seen_at"?: string;
          "p256dh"?: string | null;
          "platform"?: string;
          "retired_at"?: string | null;
          "retired_reason"?: string | null;
          "token"?: string | null;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "device_tokens_user_id_fkey";
            columns: ["user_id"];
            isOneToOne: false;
            referencedRelation: "profiles";
            referencedColumns: ["id"];
          },
        ];
      };
      "doctors": {
        Row: {
          "created_at": string;
          "id": string;
          "license_number": string;
          "organization": string | null;
          "rejected_reason": string | null;
          "specialty": string;
          "updated_at": string;
          "verified_at": string | null;
          "verified_by": string | null;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "id": string;
          "license_number": string;
          "organization"?: string | null;
          "rejected_reason"?: string | null;
          "specialty": string;
          "updated_at"?: string;
          "verified_at"?: string | null;
          "verified_by"?: string | null;
        };
        Update: {
          "created_at"?: string;
          "id"?: string;
          "license_number"?: string;
          "organization"?: string | null;
          "rejected_reason"?: string | null;
          "specialty"?: string;
          "updated_at"?: string;
          "verified_at"?: string | null;
          "verified_by"?: string | null;
        };
        Relationships: [
          {
            foreignKeyName: "doctors_id_fkey";
            columns: ["id"];
            isOneToOne: true;
            referencedRelation: "profiles";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "doctors_verified_by_fkey";
            columns: ["verified_by"];
            isOneToOne: false;
            referencedRelation: "profiles";
            referencedColumns: ["id"];
          },
        ];
      };
      "medical_record_contents": {
        Row: {
          "created_at": string;
          "data_key_id": string | null;
          "deleted_at": string | null;
          "description": string | null;
          "fhir": Json | null;
          "metadata": NonNullable<Json>;
          "patient_id": string;
          "record_id": string;
          "sensitivity": string;
          "storage_path": string | null;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "data_key_id"?: string | null;
          "deleted_at"?: string | null;
          "description"?: string | null;
          "fhir"?: Json | null;
          "metadata"?: NonNullable<Json>;
          "patient_id": string;
          "record_id": string;
          "sensitivity": string;
          "storage_path"?: string | null;
          "updated_at"?: string;
        };
        Update: {
          "created_at"?: string;
          "data_key_id"?: string | null;
          "deleted_at"?: string | null;
          "description"?: string | null;
          "fhir"?: Json | null;
          "metadata"?: NonNullable<Json>;
          "patient_id"?: string;
          "record_id"?: string;
          "sensitivity"?: string;
          "storage_path"?: string | null;
          "updated_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "medical_record_contents_patient_id_fkey";
            columns: ["patient_id"];
            isOneToOne: false;
            referencedRelation: "patients";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "medical_record_contents_record_id_fkey";
            columns: ["record_id"];
            isOneToOne: true;
            referencedRelation: "medical_records";
            referencedColumns: ["id"];
          },
        ];
      };
      "medical_record_shares": {
        Row: {
          "access_level": string;
          "created_at": string;
          "expires_at": string;
          "id": string;
          "patient_id": string;
          "record_id": string;
          "revoked_at": string | null;
          "shared_by_id": string;
          "shared_with_id": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "access_level"?: string;
          "created_at"?: string;
          "expires_at": string;
          "id"?: string;
          "patient_id": string;
          "record_id": string;
          "revoked_at"?: string | null;
          "shared_by_id": string;
          "shared_with_id": string;
          "updated_at"?: string;
        };
        Update: {
          "access_level"?: string;
          "created_at"?: string;
          "expires_at"?: string;
          "id"?: string;
          "patient_id"?: string;
          "record_id"?: string;
          "revoked_at"?: string | null;
          "shared_by_id"?: string;
          "shared_with_id"?: string;
          "updated_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "medical_record_shares_patient_id_fkey";
            columns: ["patient_id"];
            isOneToOne: false;
            referencedRelation: "patients";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "medical_record_shares_record_id_fkey";
            columns: ["record_id"];
            isOneToOne: false;
            referencedRelation: "medical_records";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "medical_record_shares_shared_by_id_fkey";
            columns: ["shared_by_id"];
            isOneToOne: false;
            referencedRelation: "profiles";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "medical_record_shares_shared_with_id_fkey";
            columns: ["shared_with_id"];
            isOneToOne: false;
            referencedRelation: "profiles";
            referencedColumns: ["id"];
          },
        ];
      };
      "medical_records": {
        Row: {
          "created_at": string;
          "created_by": string | null;
          "deleted_at": string | null;
          "file_name": string | null;
          "file_sha256": string | null;
          "file_size": number | null;
          "file_type": string | null;
          "id": string;
          "patient_id": string;
          "record_date": string | null;
          "record_type": string;
          "sensitivity": string;
          "source": string;
          "source_id": string | null;
          "source_system": string | null;
          "source_url": string | null;
          "title": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "created_by"?: string | null;
          "deleted_at"?: string | null;
          "file_name"?: string | null;
          "file_sha256"?: string | null;
          "file_size"?: number | null;
          "file_type"?: string | null;
          "id"?: string;
          "patient_id": string;
          "record_date"?: string | null;
          "record_type": string;
          "sensitivity"?: string;
          "source"?: string;
          "source_id"?: string | null;
          "source_system"?: string | null;
          "source_url"?: string | null;
          "title": string;
          "updated_at"?: string;
        };
        Update: {
          "created_at"?: string;
          "created_by"?: string | null;
          "deleted_at"?: string | null;
          "file_name"?: string | null;
          "file_sha256"?: string | null;
          "file_size"?: number | null;
          "file_type"?: string | null;
          "id"?: string;
          "patient_id"?: string;
          "record_date"?: string | null;
          "record_type"?: string;
          "sensitivity"?: string;
          "source"?: string;
          "source_id"?: string | null;
          "source_system"?: string | null;
          "source_url"?: string | null;
          "title"?: string;
          "updated_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "medical_records_created_by_fkey";
            columns: ["created_by"];
            isOneToOne: false;
            referencedRelation: "profiles";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "medical_records_patient_id_fkey";
            columns: ["patient_id"];
            isOneToOne: false;
            referencedRelation: "patients";
            referencedColumns: ["id"];
          },
        ];
      };
      "medications": {
        Row: {
          "created_at": string;
          "dose": number | null;
          "dose_unit": string | null;
          "id": string;
          "name": string;
          "refill_due_at": string | null;
          "refill_notified_at": string | null;
          "refill_threshold_days": number;
          "stock": number | null;
          "units_per_dose": number;
          "updated_at": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "created_at"?: string;
          "dose"?: number | null;
          "dose_unit"?: string | null;
          "id"?: string;
          "name": string;
          "refill_due_at"?: string | null;
          "refill_notified_at"?: string | null;
          "refill_threshold_days"?: number;
          "stock"?: number | null;
          "units_per_dose"?: number;
          "updated_at"?: string;
          "user_id": string;
        };
        Update: {
          "created_at"?: string;
          "dose"?: number | null;
          "dose_unit"?: string | null;
          "id"?: string;
          "name"?: string;
          "refill_due_at"?: string | null;
          "refill_notified_at"?: string | null;
          "refill_threshold_days"?: number;
          "stock"?: number | null;
          "units_per_dose"?: number;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "medications_user_id_fkey";
            columns: ["user_id"];
            isOneToOne: false;
            referencedRelation: "profiles";
            referencedColumns: ["id"];
          },
        ];
      };
      "messages": {
        Row: {
          "attachment_path": string | null;
          "client_id": string | null;
          "content": string | null;
          "conversation_id": string;
          "created_at": string;
          "deleted_at": string | null;
          "edited_at": string | null;
          "id": number;
          "is_encrypted": boolean;
          "kind": string;
          "metadata": NonNullable<Json>;
          "reply_to_id": number | null;
          "sender_id": string | null;
          "seq": number;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "attachment_path"?: never;
          "client_id"?: string | null;
          "content"?: string | null;
          "conversation_id": string;
          "created_at"?: string;
          "deleted_at"?: string | null;
          "edited_at"?: string | null;
          "id"?: never;
          "is_encrypted"?: boolean;
          "kind"?: string;
          "metadata"?: NonNullable<Json>;
          "reply_to_id"?: number | null;
          "sender_id"?: string | null;
          "seq": number;
          "updated_at"?: string;
        };
        Update: {
          "attachment_path"?: never;
          "client_id"?: string | null;
          "content"?: string | null;
          "conversation_id"?: string;
          "created_at"?: string;
          "deleted_at"?: string | null;
          "edited_at"?: string | null;
          "id"?: never;
          "is_encrypted"?: boolean;
          "kind"?: string;
          "metadata"?: NonNullable<Json>;
          "reply_to_id"?: number | null;
          "sender_id"?: string | null;
          "seq"?: number;
          "updated_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "messages_conversation_id_fkey";
            columns: ["conversation_id"];
            isOneToOne: false;
            referencedRelation: "conversations";
            referencedColumns: ["id"];
          },
        ];
      };
      "notification_deliveries": {
        Row: {
          "address_sha256": string | null;
          "attempts": number;
          "channel": string;
          "claim_token": string | null;
          "created_at": string;
          "delivered_at": string | null;
          "device_token_id": string | null;
          "failures": number;
          "id": string;
          "is_urgent": boolean;
          "last_error": string | null;
          "next_attempt_at": string;
          "notification_id": string | null;
          "provider": string | null;
          "provider_message_id": string | null;
          "sent_at": string | null;
          "status": string;
          "updated_at": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "address_sha256"?: string | null;
          "attempts"?: number;
          "channel": string;
          "claim_token"?: string | null;
          "created_at"?: string;
          "delivered_at"?: string | null;
          "device_token_id"?: string | null;
          "failures"?: number;
          "id"?: string;
          "is_urgent"?: boolean;
          "last_error"?: string | null;
          "next_attempt_at"?: string;
          "notification_id"?: string | null;
          "provider"?: string | null;
          "provider_message_id"?: string | null;
          "sent_at"?: string | null;
          "status"?: string;
          "updated_at"?: string;
          "user_id": string;
        };
        Update: {
          "address_sha256"?: string | null;
          "attempts"?: number;
          "channel"?: string;
          "claim_token"?: string | null;
          "created_at"?: string;
          "delivered_at"?: string | null;
          "device_token_id"?: string | null;
          "failures"?: number;
          "id"?: string;
          "is_urgent"?: boolean;
          "last_error"?: string | null;
          "next_attempt_at"?: string;
          "notification_id"?: string | null;
          "provider"?: string | null;
          "provider_message_id"?: string | null;
          "sent_at"?: string | null;
          "status"?: string;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "notification_deliveries_device_token_id_fkey";
            columns: ["device_token_id"];
            isOneToOne: false;
            referencedRelation: "device_tokens";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "notification_deliveries_notification_id_fkey";
            columns: ["notification_id"];
            isOneToOne: false;
            referencedRelation: "notifications";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "notification_deliveries_user_id_fkey";
            columns: ["user_id"];
            isOneToOne: false;
            referencedRelation: "profiles";
            referencedColumns: ["id"];
          },
        ];
      };
      "notification_preferences": {
        Row: {
          "channel": string;
          "created_at": string;
          "detail": string;
          "enabled": boolean;
          "id": string;
          "kind": string;
          "quiet_from": string | null;
          "quiet_to": string | null;
          "updated_at": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "channel": string;
          "created_at"?: string;
          "detail"?: string;
          "enabled"?: boolean;
          "id"?: string;
          "kind": string;
          "quiet_from"?: string | null;
          "quiet_to"?: string | null;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Update: {
          "channel"?: string;
          "created_at"?: string;
          "detail"?: string;
          "enabled"?: boolean;
          "id"?: string;
          "kind"?: string;
          "quiet_from"?: string | null;
          "quiet_to"?: string | null;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "notification_preferences_user_id_fkey";
            columns: ["user_id"];
            isOneToOne: false;
            referencedRelation: "profiles";
            referencedColumns: ["id"];
          },
        ];
      };
      "notifications": {
        Row: {
          "body": string;
          "collapse_key": string | null;
          "created_at": string;
          "data": NonNullable<Json>;
          "id": string;
          "in_app": boolean;
          "kind": string;
          "read_at": string | null;
          "title": string;
          "updated_at": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "body": string;
          "collapse_key"?: string | null;
          "created_at"?: string;
          "data"?: NonNullable<Json>;
          "id"?: string;
          "in_app"?: boolean;
          "kind": string;
          "read_at"?: string | null;
          "title": string;
          "updated_at"?: string;
          "user_id": string;
        };
        Update: {
          "body"?: string;
          "collapse_key"?: string | null;
          "created_at"?: string;
          "data"?: NonNullable<Json>;
          "id"?: string;
          "in_app"?: boolean;
          "kind"?: string;
          "read_at"?: string | null;
          "title"?: string;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "notifications_user_id_fkey";
            columns: ["user_id"];
            isOneToOne: false;
            referencedRelation: "profiles";
            referencedColumns: ["id"];
          },
        ];
      };
      "patients": {
        Row: {
          "address": string | null;
          "cancer_type": string | null;
          "city": string | null;
          "country": string | null;
          "created_at": string;
          "created_by": string | null;
          "date_of_birth": string | null;
          "diagnosis_date": string | null;
          "emergency_contact_name": string | null;
          "emergency_contact_phone": string | null;
          "emergency_contact_relationship": string | null;
          "first_name": string | null;
          "gender": string | null;
          "id": string;
          "insurance_policy_number": string | null;
          "insurance_provider": string | null;
          "is_active": boolean;
          "last_name": string | null;
          "medical_history": string | null;
          "phone": string | null;
          "postal_code": string | null;
          "state": string | null;
          "treatment_stage": string | null;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "address"?: string | null;
          "cancer_type"?: string | null;
          "city"?: string | null;
          "country"?: string | null;
          "created_at"?: string;
          "created_by"?: string | null;
          "date_of_birth"?: string | null;
          "diagnosis_date"?: string | null;
          "emergency_contact_name"?: string | null;
          "emergency_contact_phone"?: string | null;
          "emergency_contact_relationship"?: string | null;
          "first_name"?: string | null;
          "gender"?: string | null;
          "id": string;
          "insurance_policy_number"?: string | null;
          "insurance_provider"?: string | null;
          "is_active"?: boolean;
          "last_name"?: string | null;
          "medical_history"?: string | null;
          "phone"?: string | null;
          "postal_code"?: string | null;
          "state"?: string | null;
          "treatment_stage"?: string | null;
          "updated_at"?: string;
        };
        Update: {
          "address"?: string | null;
          "cancer_type"?: string | null;
          "city"?: string | null;
          "country"?: string | null;
          "created_at"?: string;
          "created_by"?: string | null;
          "date_of_birth"?: string | null;
          "diagnosis_date"?: string | null;
          "emergency_contact_name"?: string | null;
          "emergency_contact_phone"?: string | null;
          "emergency_contact_relationship"?: string | null;
          "first_name"?: string | null;
          "gender"?: string | null;
          "id"?: string;
          "insurance_policy_number"?: string | null;
          "insurance_provider"?: string | null;
          "is_active"?: boolean;
          "last_name"?: string | null;
          "medical_history"?: string | null;
          "phone"?: string | null;
          "postal_code"?: string | null;
          "state"?: string | null;
          "treatment_stage"?: string | null;
          "updated_at"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "patients_created_by_fkey";
            columns: ["created_by"];
            isOneToOne: false;
            referencedRelation: "profiles";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "patients_id_fkey";
            columns: ["id"];
            isOneToOne: true;
            referencedRelation: "profiles";
            referencedColumns: ["id"];
          },
        ];
      };
      "profiles": {
        Row: {
          "avatar_path": string | null;
          "bio": string | null;
          "created_at": string;
          "display_name": string | null;
          "id": string;
          "is_active": boolean;
          "is_public": boolean;
          "is_verified": boolean;
          "last_active_at": string | null;
          "locale": string;
          "role": string;
          "subscription_tier": string;
          "timezone": string;
          "updated_at": string;
        };
        ComputedFields: never;
        Insert: {
          "avatar_path"?: string | null;
          "bio"?: string | null;
          "created_at"?: string;
          "display_name"?: string | null;
          "id": string;
          "is_active"?: boolean;
          "is_public"?: boolean;
          "is_verified"?: boolean;
          "last_active_at"?: string | null;
          "locale"?: string;
          "role"?: string;
          "subscription_tier"?: string;
          "timezone"?: string;
          "updated_at"?: string;
        };
        Update: {
          "avatar_path"?: string | null;
          "bio"?: string | null;
          "created_at"?: string;
          "display_name"?: string | null;
          "id"?: string;
          "is_active"?: boolean;
          "is_public"?: boolean;
          "is_verified"?: boolean;
          "last_active_at"?: string | null;
          "locale"?: string;
          "role"?: string;
          "subscription_tier"?: string;
          "timezone"?: string;
          "updated_at"?: string;
        };
        Relationships: [];
      };
      "reminder_logs": {
        Row: {
          "completed_at": string | null;
          "created_at": string;
          "due_at": string;
          "escalated_at": string | null;
          "follow_up_at": string | null;
          "grace_minutes": number;
          "id": string;
          "medication_id": string | null;
          "notes": string | null;
          "reminder_id": string;
          "reminder_type": string;
          "repeats_sent": number;
          "snoozed_until": string | null;
          "status": string;
          "timezone": string;
          "updated_at": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "completed_at"?: string | null;
          "created_at"?: string;
          "due_at": string;
          "escalated_at"?: string | null;
          "follow_up_at"?: string | null;
          "grace_minutes": number;
          "id"?: string;
          "medication_id"?: string | null;
          "notes"?: string | null;
          "reminder_id": string;
          "reminder_type": string;
          "repeats_sent"?: number;
          "snoozed_until"?: string | null;
          "status": string;
          "timezone": string;
          "updated_at"?: string;
          "user_id": string;
        };
        Update: {
          "completed_at"?: string | null;
          "created_at"?: string;
          "due_at"?: string;
          "escalated_at"?: string | null;
          "follow_up_at"?: string | null;
          "grace_minutes"?: number;
          "id"?: string;
          "medication_id"?: string | null;
          "notes"?: string | null;
          "reminder_id"?: string;
          "reminder_type"?: string;
          "repeats_sent"?: number;
          "snoozed_until"?: string | null;
          "status"?: string;
          "timezone"?: string;
          "updated_at"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "reminder_logs_reminder_id_fkey";
            columns: ["reminder_id"];
            isOneToOne: false;
            referencedRelation: "reminders";
            referencedColumns: ["id"];
          },
        ];
      };
      "reminders": {
        Row: {
          "ai_suggestions": Json | null;
          "created_at": string;
          "cycle_days_off": number | null;
          "cycle_days_on": number | null;
          "description": string | null;
          "escalate_to": string | null;
          "exdate": (string)[];
          "expanded_to": string;
          "expansion": string;
          "grace_minutes": number;
          "id": string;
          "is_active": boolean;
          "max_repeats": number;
          "medication_id": string | null;
          "next_due_at": string | null;
          "per_day": number | null;
          "rdate": (string)[];
          "reminder_type": string;
          "repeat_every_minutes": number | null;
          "rrule": string | null;
          "shift_minutes": number;
          "starts_at_local": string;
          "timezone": string;
          "title": string;
          "upcoming": (string)[];
          "updated_at": string;
          "user_id": string;
        };
        ComputedFields: never;
        Insert: {
          "ai_suggestions"?: Json | null;
          "created_at"?: string;
          "cycle_days_off"?: number | null;
          "cycle_days_on"?: number | null;
          "description"?: string | null;
          "escalate_to"?: string | null;
          "exdate"?: (string)[];
          "expanded_to"?: string;
          "expansion"?: string;
          "grace_minutes"?: number;
          "id"?: string;
          "is_active"?: boolean;
          "max_repeats"?: number;
          "medication_id"?: string | null;
          "next_due_at"?: never;
          "per_day"?: number | null;
          "rdate"?: (string)[];
          "reminder_type": string;
          "repeat_every_minutes"?: number | null;
          "rrule"?: string | null;
          "shift_minutes"?: number;
          "starts_at_local": string;
          "timezone": string;
          "title": string;
          "upcoming"?: (string)[];
          "updated_at"?: string;
          "user_id": string;
        };
        Update: {
          "ai_suggestions"?: Json | null;
          "created_at"?: string;
          "cycle_days_off"?: number | null;
          "cycle_days_on"?: number | null;
          "description"?: string | null;
          "escalate_to"?: string | null;
          "exdate"?: (string)[];
          "expanded_to"?: string;
          "expansion"?: string;
          "grace_minutes"?: number;
          "id"?: string;
          "is_active"?: boolean;
          "max_repeats"?: number;
          "medication_id"?: string | null;
          "next_due_at"?: never;
          "per_day"?: number | null;
          "rdate"?: (string)[];
          "reminder_type"?: string;
          "repeat_every_minutes"?: number | null;
          "rrule"?: string | null;
          "shift_minutes"?: number;
          "starts_at_local"?: string;
          "timezone"?: string;
          "title"?: string;
          "upcoming"?: (string)[];
          "updated_at"?: string;
          "user_id"?: string;
        };
        Relationships: [
          {
            foreignKeyName: "reminders_escalate_to_fkey";
            columns: ["escalate_to"];
            isOneToOne: false;
            referencedRelation: "profiles";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "reminders_medication_id_fkey";
            columns: ["medication_id"];
            isOneToOne: false;
            referencedRelation: "medications";
            referencedColumns: ["id"];
          },
          {
            foreignKeyName: "reminders_user_id_fkey";
            columns: ["user_id"];
            isOneToOne: false;
            referencedRelation: "profiles";
            referencedColumns: ["id"];
          },
        ];
      };
    };
    Views: {
      "public_profiles": {
        Row: {
          "avatar_path": string | null;
          "bio": string | null;
          "display_name": string | null;
          "id": string;
          "is_verified": boolean;
          "role": string;
        };
        ComputedFields: never;
        Insert: {
          "avatar_path"?: string | null;
          "bio"?: string | null;
          "display_name"?: string | null;
          "id"?: string | null;
          "is_verified"?: boolean | null;
          "role"?: string | null;
        };
        Update: {
          "avatar_path"?: string | null;
          "bio"?: string | null;
          "display_name"?: string | null;
          "id"?: string | null;
          "is_verified"?: boolean | null;
          "role"?: string | null;
        };
        Relationships: [];
      };
    };
    Functions: {
      "add_participant": {
        Args: { "p_conversation_id": string; "p_role"?: string; "p_user_id": string };
        Returns: undefined;
      };
      "adherence": {
        Args: { "p_from": string; "p_patient_id"?: string; "p_to": string };
        Returns: {
          "day": string;
          "late": number;
          "medication_id": string;
          "missed": number;
          "reminder_id": string;
          "skipped": number;
          "taken": number;
          "unanswered": number;
        }[];
      };
      "audit_proof": {
        Args: { "p_event_id": number };
        Returns: {
          "event_id": number;
          "hash": string;
          "leaf_hash": string;
          "merkle_root": string;
          "path": (string)[];
          "position": number;
          "previous_hash": string;
          "seal_canonical": string;
          "seal_id": number;
          "sealed_at": string;
          "tree_size": number;
        }[];
      };
      "audit_search": {
        Args: {
          "p_action"?: string;
          "p_actor_id"?: string;
          "p_cursor"?: string;
          "p_from"?: string;
          "p_limit"?: number;
          "p_patient_id"?: string;
          "p_request_id"?: string;
          "p_resource_id"?: string;
          "p_resource_type"?: string;
          "p_to"?: string;
        };
        Returns: {
          "action": string;
          "actor_id": string;
          "actor_role": string;
          "cursor": string;
          "id": number;
          "occurred_at": string;
          "patient_id": string;
          "purpose": string;
          "request_id": string;
          "resource_id": string;
          "resource_type": string;
          "session_id": string;
        }[];
      };
      "break_glass": {
        Args: { "p_patient_id": string; "p_reason": string };
        Returns: Database["public"]["CompositeTypes"]["opened_chart"];
        SetofOptions: {
          from: "*";
          to: "opened_chart";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "close_account": { Args: Record<PropertyKey, never>; Returns: undefined };
      "close_chart": { Args: { "p_id": string }; Returns: undefined };
      "complete_next_reminder": {
        Args: { "p_due_at": string; "p_notes"?: string; "p_reminder_id": string };
        Returns: string;
      };
      "complete_reminder": { Args: { "p_log_id": string; "p_notes"?: string }; Returns: string };
      "conversation_topic": { Args: { "p_id": string }; Returns: string };
      "create_reminder": {
        Args: {
          "p_cycle_days_off"?: number;
          "p_cycle_days_on"?: number;
          "p_description"?: string;
          "p_escalate_to"?: string;
          "p_exdate"?: (string)[];
          "p_grace_minutes"?: number;
          "p_is_complete"?: boolean;
          "p_max_repeats"?: number;
          "p_medication_id"?: string;
          "p_per_day"?: number;
          "p_rdate"?: (string)[];
          "p_reminder_type": string;
          "p_repeat_every_minutes"?: number;
          "p_rrule"?: string;
          "p_starts_at_local": string;
          "p_timezone": string;
          "p_title": string;
          "p_upcoming"?: (string)[];
        };
        Returns: string;
      };
      "delete_medical_record": { Args: { "p_id": string }; Returns: Json };
      "delete_message": {
        Args: { "p_id": number };
        Returns: Database["public"]["CompositeTypes"]["chat_message"];
        SetofOptions: {
          from: "*";
          to: "chat_message";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "delete_notification": { Args: { "p_id": string }; Returns: undefined };
      "edit_message": {
        Args: { "p_content": string; "p_id": number };
        Returns: Database["public"]["CompositeTypes"]["chat_message"];
        SetofOptions: {
          from: "*";
          to: "chat_message";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "end_care": { Args: { "p_id": string; "p_reason"?: string }; Returns: Json };
      "grant_account": { Args: { "p_grant": string; "p_user_id": string }; Returns: undefined };
      "leave_conversation": { Args: { "p_id": string }; Returns: undefined };
      "list_conversations": {
        Args: { "p_cursor"?: string; "p_limit"?: number };
        Returns: {
          "active_at": string;
          "created_at": string;
          "cursor": string;
          "id": string;
          "kind": string;
          "last_message": Json;
          "last_read_message_id": number;
          "muted_until": string;
          "patient_id": string;
          "peer_id": string;
          "role": string;
          "title": string;
          "topic": string;
          "unread_count": number;
        }[];
      };
      "list_dead_deliveries": {
        Args: { "p_cursor"?: string; "p_limit"?: number };
        Returns: {
          "attempts": number;
          "channel": string;
          "created_at": string;
          "cursor": string;
          "id": string;
          "kind": string;
          "last_error": string;
          "updated_at": string;
          "user_id": string;
        }[];
      };
      "list_emergency_accesses": {
        Args: { "p_cursor"?: string; "p_limit"?: number };
        Returns: {
          "actions": number;
          "cursor": string;
          "ended_at": string;
          "id": string;
          "objected_at": string;
          "objection": string;
          "opened_at": string;
          "patient_id": string;
          "patient_name": string;
          "reason": string;
          "review_note": string;
          "review_outcome": string;
          "reviewed_at": string;
          "reviewed_by": string;
          "viewer_id": string;
          "viewer_name": string;
        }[];
      };
      "list_messages": {
        Args: { "p_conversation_id": string; "p_cursor"?: string; "p_limit"?: number };
        Returns: {
          "client_id": string;
          "content": string;
          "conversation_id": string;
          "created_at": string;
          "cursor": string;
          "deleted_at": string;
          "edited_at": string;
          "id": number;
          "is_encrypted": boolean;
          "kind": string;
          "metadata": Json;
          "reply_to_id": number;
          "sender_id": string;
          "seq": number;
        }[];
      };
      "list_notifications": {
        Args: { "p_cursor"?: string; "p_limit"?: number; "p_unread_only"?: boolean };
        Returns: {
          "body": string;
          "created_at": string;
          "cursor": string;
          "data": Json;
          "id": string;
          "kind": string;
          "read_at": string;
          "title": string;
          "unread_count": number;
        }[];
      };
      "mark_all_notifications_read": { Args: Record<PropertyKey, never>; Returns: number };
      "mark_conversation_read": {
        Args: { "p_id": string; "p_message_id": number };
        Returns: undefined;
      };
      "mark_notification_read": { Args: { "p_id": string }; Returns: undefined };
      "medication_supply": {
        Args: Record<PropertyKey, never>;
        Returns: {
          "days_left": number;
          "doses_left": number;
          "medication_id": string;
          "per_day": number;
          "stock": number;
        }[];
      };
      "mute_conversation": { Args: { "p_id": string; "p_until": string }; Returns: undefined };
      "my_access_log": {
        Args: { "p_cursor"?: string; "p_limit"?: number };
        Returns: {
          "action": string;
          "actor_id": string;
          "actor_name": string;
          "actor_role": string;
          "cursor": string;
          "id": number;
          "is_emergency": boolean;
          "occurred_at": string;
          "outcome": string;
          "purpose": string;
          "reason": string;
          "resource_id": string;
          "resource_type": string;
          "scopes": (string)[];
          "summary": string;
        }[];
      };
      "object_to_emergency_access": { Args: { "p_id": string; "p_note": string }; Returns: Json };
      "open_chart": {
        Args: { "p_patient_id": string; "p_purpose": string };
        Returns: Database["public"]["CompositeTypes"]["opened_chart"];
        SetofOptions: {
          from: "*";
          to: "opened_chart";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "open_medical_record": {
        Args: { "p_record_id": string };
        Returns: Database["public"]["CompositeTypes"]["opened_record"];
        SetofOptions: {
          from: "*";
          to: "opened_record";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "register_device_token": {
        Args: { "p_auth"?: string; "p_p256dh"?: string; "p_platform": string; "p_token": string };
        Returns: string;
      };
      "remove_device_token": { Args: { "p_id": string }; Returns: undefined };
      "remove_participant": {
        Args: { "p_conversation_id": string; "p_user_id": string };
        Returns: undefined;
      };
      "request_care": {
        Args: { "p_kind": string; "p_member_or_patient_id": string; "p_scopes"?: (string)[] };
        Returns: Json;
      };
      "request_doctor_verification": {
        Args: { "p_license_number": string; "p_organization"?: string; "p_specialty": string };
        Returns: undefined;
      };
      "respond_care_request": {
        Args: { "p_accept": boolean; "p_id": string; "p_scopes"?: (string)[] };
        Returns: Json;
      };
      "restore_medical_record": { Args: { "p_id": string }; Returns: Json };
      "retry_delivery": { Args: { "p_id": string }; Returns: undefined };
      "review_emergency_access": {
        Args: { "p_id": string; "p_note": string; "p_outcome": string };
        Returns: Json;
      };
      "revoke_account_grant": {
        Args: { "p_grant": string; "p_user_id": string };
        Returns: undefined;
      };
      "revoke_record_share": { Args: { "p_id": string }; Returns: Json };
      "search_patients": {
        Args: { "p_cursor"?: string; "p_limit"?: number; "p_query"?: string };
        Returns: {
          "cancer_type": string;
          "cursor": string;
          "date_of_birth": string;
          "first_name": string;
          "gender": string;
          "id": string;
          "last_name": string;
        }[];
      };
      "send_message": {
        Args: {
          "p_client_id": string;
          "p_content": string;
          "p_conversation_id": string;
          "p_is_encrypted"?: boolean;
          "p_kind"?: string;
          "p_metadata"?: Json;
          "p_reply_to_id"?: number;
        };
        Returns: Database["public"]["CompositeTypes"]["chat_message"];
        SetofOptions: {
          from: "*";
          to: "chat_message";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "set_account_active": {
        Args: { "p_active": boolean; "p_reason": string; "p_user_id": string };
        Returns: undefined;
      };
      "set_care_scopes": { Args: { "p_id": string; "p_scopes": (string)[] }; Returns: Json };
      "share_medical_record": {
        Args: {
          "p_access_level": string;
          "p_expires_at": string;
          "p_record_id": string;
          "p_shared_with_id": string;
        };
        Returns: Json;
      };
      "shift_plan": { Args: { "p_minutes": number; "p_reminder_id": string }; Returns: string };
      "skip_reminder": { Args: { "p_log_id": string; "p_notes"?: string }; Returns: undefined };
      "snooze_reminder": { Args: { "p_log_id": string; "p_minutes": number }; Returns: string };
      "start_conversation": {
        Args: { "p_kind"?: string; "p_participant_ids": (string)[]; "p_title"?: string };
        Returns: Database["public"]["CompositeTypes"]["started_conversation"];
        SetofOptions: {
          from: "*";
          to: "started_conversation";
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      "touch_last_active": { Args: Record<PropertyKey, never>; Returns: undefined };
      "upcoming_reminders": {
        Args: { "p_hours"?: number };
        Returns: {
          "days_left": number;
          "dose": number;
          "dose_unit": string;
          "due_at": string;
          "due_at_local": string;
          "log_id": string;
          "medication_id": string;
          "medication_name": string;
          "reminder_id": string;
          "reminder_type": string;
          "status": string;
          "stock": number;
          "timezone": string;
          "title": string;
        }[];
      };
      "update_reminder": {
        Args: {
          "p_cycle_days_off"?: number;
          "p_cycle_days_on"?: number;
          "p_description"?: string;
          "p_escalate_to"?: string;
          "p_exdate"?: (string)[];
          "p_grace_minutes"?: number;
          "p_id": string;
          "p_is_active"?: boolean;
          "p_is_complete"?: boolean;
          "p_max_repeats"?: number;
          "p_medication_id"?: string;
          "p_per_day"?: number;
          "p_rdate"?: (string)[];
          "p_reminder_type": string;
          "p_repeat_every_minutes"?: number;
          "p_rrule"?: string;
          "p_starts_at_local": string;
          "p_timezone": string;
          "p_title": string;
          "p_upcoming"?: (string)[];
        };
        Returns: string;
      };
      "verify_audit": {
        Args: { "p_from"?: string; "p_to"?: string };
        Returns: {
          "checked": number;
          "first_bad_id": number;
          "first_bad_seal_id": number;
          "ok": boolean;
          "reason": string;
        }[];
      };
      "verify_doctor": {
        Args: { "p_approve": boolean; "p_reason"?: string; "p_user_id": string };
        Returns: undefined;
      };
      "who_can_see": {
        Args: { "p_patient_id": string };
        Returns: {
          "explanation": string;
          "rule": string;
          "since": string;
          "until": string;
          "viewer_id": string;
          "viewer_name": string;
          "viewer_role": string;
        }[];
      };
      "why_can_see": {
        Args: { "p_patient_id": string; "p_viewer_id": string };
        Returns: {
          "explanation": string;
          "rule": string;
          "since": string;
          "until": string;
        }[];
      };
    };
    Enums: {
      [_ in never]: never;
    };
    CompositeTypes: {
      "chat_message": {
        "id": number | null;
        "conversation_id": string | null;
        "seq": number | null;
        "sender_id": string | null;
        "client_id": string | null;
        "kind": string | null;
        "content": string | null;
        "metadata": Json | null;
        "is_encrypted": boolean | null;
        "reply_to_id": number | null;
        "edited_at": string | null;
        "deleted_at": string | null;
        "created_at": string | null;
      };
      "opened_chart": {
        "id": string | null;
        "expires_at": string | null;
        "code": string | null;
        "message": string | null;
        "details": string | null;
        "hint": string | null;
      };
      "opened_record": {
        "id": string | null;
        "patient_id": string | null;
        "title": string | null;
        "record_type": string | null;
        "record_date": string | null;
        "source": string | null;
        "sensitivity": string | null;
        "file_name": string | null;
        "file_type": string | null;
        "file_size": number | null;
        "file_sha256": string | null;
        "may_download": boolean | null;
        "code": string | null;
        "message": string | null;
        "details": string | null;
        "hint": string | null;
      };
      "started_conversation": {
        "id": string | null;
        "kind": string | null;
        "title": string | null;
        "topic": string | null;
        "created_at": string | null;
      };
    };
  };
};

type DatabaseWithoutInternals = Omit<Database, "__InternalSupabase">;

type DefaultSchema = DatabaseWithoutInternals[Extract<keyof Database, "public">];

export type Tables<
  DefaultSchemaTableNameOrOptions extends
    | keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof (
      & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
      & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"]
    )
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals } ? (
    & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"]
  )[TableName] extends {
    Row: infer R;
  } ? R
  : never
  : DefaultSchemaTableNameOrOptions extends keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    ? (DefaultSchema["Tables"] & DefaultSchema["Views"])[DefaultSchemaTableNameOrOptions] extends {
      Row: infer R;
    } ? R
    : never
  : never;

export type TablesInsert<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends
    {
      Insert: infer I;
    } ? I
  : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
      Insert: infer I;
    } ? I
    : never
  : never;

export type TablesUpdate<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends
    {
      Update: infer U;
    } ? U
  : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
      Update: infer U;
    } ? U
    : never
  : never;

export type Enums<
  DefaultSchemaEnumNameOrOptions extends
    | keyof DefaultSchema["Enums"]
    | { schema: keyof DatabaseWithoutInternals },
  EnumName extends DefaultSchemaEnumNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"]
    : never = never,
> = DefaultSchemaEnumNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"][EnumName]
  : DefaultSchemaEnumNameOrOptions extends keyof DefaultSchema["Enums"]
    ? DefaultSchema["Enums"][DefaultSchemaEnumNameOrOptions]
  : never;

export type CompositeTypes<
  PublicCompositeTypeNameOrOptions extends
    | keyof DefaultSchema["CompositeTypes"]
    | { schema: keyof DatabaseWithoutInternals },
  CompositeTypeName extends PublicCompositeTypeNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"]
    : never = never,
> = PublicCompositeTypeNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"][
    CompositeTypeName
  ]
  : PublicCompositeTypeNameOrOptions extends keyof DefaultSchema["CompositeTypes"]
    ? DefaultSchema["CompositeTypes"][PublicCompositeTypeNameOrOptions]
  : never;

export const Constants = {
  "public": {
    Enums: {},
  },
} as const;
