/**
 * What the app calls the server's wire types, which `schema` has from the server's own description.
 * Times are milliseconds since 1970. By hand stands here only what the server keeps without looking.
 */
import type * as S from './schema';

export type Role = S.UserRole;
export type User = S.User;
export type ChatSettings = S.ChatSettings;

/** Kept on the server for a user; the client alone knows its fields. */
export type UserSettings = {
  language?: string;
  theme?: 'system' | 'light' | 'dark';
  model?: string;
  custom_instructions?: string;
  enter_sends?: boolean;
};

export type Me = Omit<S.Me, 'settings'> & { settings: UserSettings };
export type Model = S.WebModel;
export type Chat = S.WebChat;
export type Status = S.WebStatus;
export type Attachment = S.Attached;
export type Picture = Attachment & { width: number; height: number };
export type Usage = S.WebUsage;
export type Message = S.WebMessage;
export type Source = S.Source;
export type Collection = S.Collection;
export type Document = S.Document;
export type Documents = S.Documents;
export type FoundPassage = S.FoundPassage;
export type ShownPassage = S.ShownPassage;
export type Hit = S.Hit;
export type Folder = S.Folder;
export type Share = S.Share;
export type Shared = S.SharedChat;
export type Session = S.Session;
export type Identity = S.Identity;
export type Passkey = S.Passkey;
export type Ceremony = S.Ceremony;
export type NewPasskey = S.NewPasskey;
export type PasskeyLogin = S.PasskeyLogin;
export type Key = S.Key;
export type Prompt = S.SavedPrompt;
export type Assistant = S.Assistant;
export type Imported = S.Imported;
export type AdminUser = S.User;
export type Invitation = S.Invited;
export type EmbedApp = S.EmbedApp;
export type NewEmbedApp = S.NewEmbedApp;
export type EmbedAppChange = S.EmbedAppChange;
export type EmbedSession = S.EmbedSession;
export type ToolCall = S.WebToolCall;
export type CallState = S.WebCallState;
export type Decision = S.Decision;
export type Tool = S.WebTool;
export type ToolServer = S.WebToolServer;
export type ChosenTool = S.ChosenTool;
export type Consent = S.Consent;
export type AdminToolServer = S.AdminToolServer;
export type AdminToolServers = S.AdminToolServers;
export type ToolServerChange = S.ToolServerChange;
export type ToolTest = S.ToolTest;
/** A model that is on the server's machine or could be. */
export type AdminModel = {
  id: string;
  title: string;
  task: 'generate' | 'embed';
  licence: string | null;
  languages: string[];
  parameters: string | null;
  bytes: number;
  bytes_here: number;
  state: 'installed' | 'partial' | 'available';
  served: boolean;
  loaded: boolean;
  removable: boolean;
  fetchable: boolean;
};
export type AdminModels = {
  models: AdminModel[];
  fetching: { model: string; bytes_done: number; bytes: number } | null;
  last: { model: string; outcome: 'done' | 'stopped' | 'no_space' | 'no_source' | 'failed'; at: number } | null;
};
