export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/**
 * The words that may be put on a command line as they are. Keys come from the host or from other
 * programs: one with a "$(" in it must not get to where the next Enter runs it.
 */
export const safeWords = (words: readonly string[]): string[] =>
  [...new Set(words)].filter(
    (word) => /^[\p{L}\p{N}_./@%+,-]+$/u.test(word) && !word.startsWith('-'),
  );

/**
 * A script that asks `vmic` itself for the words that can follow. SHELL is set since yargs decides
 * by it whether descriptions go with the words, and the login shell need not be the one that asks.
 */
export const completionScript = (shell: Shell): string => SCRIPTS[shell];

/** A backslash at the end of a line joins it with the next one here, not in the script. */
const SCRIPTS: Readonly<Record<Shell, string>> = {
  bash: `\
# bash completion for vmic
_vmic() {
  local words
  mapfile -t words < <(SHELL=bash ZSH_NAME= vmic --get-yargs-completions \
"\${COMP_WORDS[@]:0:COMP_CWORD+1}" 2>/dev/null)
  local word
  COMPREPLY=()
  for word in "\${words[@]}"; do
    [[ $word == "\${COMP_WORDS[COMP_CWORD]}"* ]] && COMPREPLY+=("$word")
  done
}
complete -o default -F _vmic vmic
`,
  zsh: `\
#compdef vmic
_vmic() {
  local -a proposals
  proposals=("\${(@f)$(SHELL=zsh vmic --get-yargs-completions \
"\${(@)words[1,CURRENT]}" 2>/dev/null)}")
  if (( \${#proposals} )) && [[ -n \${proposals[1]} ]]; then _describe vmic proposals; \
else _default; fi
}
if [[ \${zsh_eval_context[-1]} == loadautofunc ]]; then _vmic "$@"; else compdef _vmic vmic; fi
`,
  fish: `\
# fish completion for vmic
function __vmic_complete
    SHELL=fish ZSH_NAME= command vmic --get-yargs-completions \
(commandline -opc) (commandline -ct) 2>/dev/null
end
complete -c vmic -f -a '(__vmic_complete)'
`,
};
