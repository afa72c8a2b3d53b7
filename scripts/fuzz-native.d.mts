export const NATIVE_TARGETS: readonly string[];
export const SANITIZE: readonly string[];
export function findCompiler(): string | undefined;
export function findFuzzer(): { readonly clang?: string; readonly missing?: string };
export function buildTarget(name: string, compiler: string, isFuzzer: boolean): string;
