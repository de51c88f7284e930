// The page's own words: one row a word, in the order of LANGUAGES.

export const LANGUAGES = { en: "English", de: "Deutsch", fr: "Français", es: "Español", ja: "日本語" };
const CODES = Object.keys(LANGUAGES);

const WORDS = {
  pitch: ["A bridge between languages, and a look inside it", "Eine Brücke zwischen Sprachen und ein Blick in ihr Inneres", "Un pont entre les langues, et un regard à l’intérieur", "Un puente entre lenguas, y una mirada a su interior", "言葉の架け橋と、その内側"],
  pageLanguage: ["Language of this page", "Sprache dieser Seite", "Langue de cette page", "Idioma de esta página", "このページの言語"],
  theme: ["Colours", "Farben", "Couleurs", "Colores", "配色"],
  themeAuto: ["System", "System", "Système", "Sistema", "システム"],
  themeLight: ["Light", "Hell", "Clair", "Claro", "ライト"],
  themeDark: ["Dark", "Dunkel", "Sombre", "Oscuro", "ダーク"],
  translate: ["Translate", "Übersetzen", "Traduire", "Traducir", "翻訳"],
  sourceLanguage: ["Source language", "Ausgangssprache", "Langue source", "Idioma de origen", "翻訳元の言語"],
  targetLanguage: ["Target language", "Zielsprache", "Langue cible", "Idioma de destino", "翻訳先の言語"],
  detect: ["Detect language", "Sprache erkennen", "Détecter la langue", "Detectar idioma", "言語を検出"],
  detected: ["Detected: {0}", "Erkannt: {0}", "Langue détectée : {0}", "Detectado: {0}", "検出: {0}"],
  swap: ["Swap languages", "Sprachen tauschen", "Inverser les langues", "Intercambiar idiomas", "言語を入れ替える"],
  clear: ["Clear text", "Text löschen", "Effacer le texte", "Borrar el texto", "テキストを消去"],
  sourceText: ["Text to translate", "Zu übersetzender Text", "Texte à traduire", "Texto para traducir", "翻訳するテキスト"],
  typeHere: ["Type or paste a text", "Text eingeben oder einfügen", "Saisissez ou collez un texte", "Escriba o pegue un texto", "テキストを入力または貼り付け"],
  translation: ["Translation", "Übersetzung", "Traduction", "Traducción", "翻訳結果"],
  charactersLeft: ["{0} characters left", "noch {0} Zeichen", "{0} caractères restants", "quedan {0} caracteres", "残り{0}文字"],
  charactersOver: ["{0} characters too many", "{0} Zeichen zu viel", "{0} caractères de trop", "{0} caracteres de más", "{0}文字超過"],
  addTarget: ["Add a language", "Sprache hinzufügen", "Ajouter une langue", "Añadir un idioma", "言語を追加"],
  removeTarget: ["Remove {0}", "{0} entfernen", "Retirer {0}", "Quitar {0}", "{0}を外す"],
  copy: ["Copy", "Kopieren", "Copier", "Copiar", "コピー"],
  copied: ["Copied", "Kopiert", "Copié", "Copiado", "コピーしました"],
  tryNow: ["Try now", "Jetzt versuchen", "Réessayer", "Reintentar ahora", "今すぐ再試行"],
  options: ["Options", "Optionen", "Options", "Opciones", "オプション"],
  beamSize: ["Beam size", "Strahlbreite (Beam)", "Largeur du faisceau", "Tamaño del haz", "ビーム幅"],
  numHypotheses: ["Hypotheses", "Hypothesen", "Hypothèses", "Hipótesis", "候補の数"],
  temperature: ["Temperature", "Temperatur", "Température", "Temperatura", "温度"],
  glossary: ["Glossary, one term a line", "Glossar, ein Begriff je Zeile", "Glossaire, un terme par ligne", "Glosario, un término por línea", "用語集(1行に1語)"],
  optionsNote: ["Temperature 0 takes the most probable token; any other samples, with a beam size of 1 only. The glossary works with one target language.", "Temperatur 0 nimmt das wahrscheinlichste Token; jede andere zieht Stichproben, nur bei Strahlbreite 1. Das Glossar gilt bei einer einzigen Zielsprache.", "À température 0, le token le plus probable est choisi ; sinon il est tiré au sort, avec un faisceau de 1 seulement. Le glossaire vaut pour une seule langue cible.", "Con temperatura 0 se toma el token más probable; con otra se muestrea, solo con un haz de 1. El glosario vale con un solo idioma de destino.", "温度0では最も確率の高いトークンを選び、それ以外ではビーム幅1でサンプリングします。用語集は翻訳先が1言語のときに使われます。"],
  translating: ["Translating…", "Übersetzt…", "Traduction…", "Traduciendo…", "翻訳中…"],
  done: ["Translated.", "Übersetzt.", "Traduit.", "Traducido.", "翻訳しました。"],
  hint: ["Hover a word to see its counterpart; click one for alternatives.", "Auf ein Wort zeigen: sein Gegenstück leuchtet; anklicken: Alternativen.", "Survolez un mot pour voir sa contrepartie ; cliquez pour des alternatives.", "Señale una palabra para ver su equivalente; pulse para ver alternativas.", "単語に触れると対応が光り、押すと別の候補が出ます。"],
  busy: ["The server is busy. Trying again in {0} s.", "Der Server ist ausgelastet. Neuer Versuch in {0} s.", "Le serveur est occupé. Nouvel essai dans {0} s.", "El servidor está ocupado. Nuevo intento en {0} s.", "サーバーが混み合っています。{0}秒後に再試行します。"],
  notReady: ["The server is starting or stopping. Trying again in {0} s.", "Der Server startet oder stoppt. Neuer Versuch in {0} s.", "Le serveur démarre ou s’arrête. Nouvel essai dans {0} s.", "El servidor arranca o se detiene. Nuevo intento en {0} s.", "サーバーが起動中または停止中です。{0}秒後に再試行します。"],
  away: ["The server cannot be reached. Trying again in {0} s.", "Der Server ist nicht erreichbar. Neuer Versuch in {0} s.", "Le serveur est injoignable. Nouvel essai dans {0} s.", "No se puede contactar con el servidor. Nuevo intento en {0} s.", "サーバーに接続できません。{0}秒後に再試行します。"],
  alternatives: ["Alternatives", "Alternativen", "Alternatives", "Alternativas", "別の候補"],
  seeInside: ["See inside", "Ins Innere sehen", "Voir à l’intérieur", "Ver por dentro", "内側を見る"],
  insideNote: ["Translate a sentence to see how it was done.", "Einen Satz übersetzen, um zu sehen, wie es geschah.", "Traduisez une phrase pour voir comment c’est fait.", "Traduzca una frase para ver cómo se hizo.", "文を翻訳すると、その過程が見えます。"],
  insideLong: ["This sentence has too many tokens to draw.", "Dieser Satz hat zu viele Tokens für ein Bild.", "Cette phrase a trop de tokens pour être dessinée.", "Esta frase tiene demasiados tokens para dibujarla.", "この文はトークンが多すぎて描けません。"],
  previousSentence: ["Previous sentence", "Voriger Satz", "Phrase précédente", "Frase anterior", "前の文"],
  nextSentence: ["Next sentence", "Nächster Satz", "Phrase suivante", "Frase siguiente", "次の文"],
  play: ["Play", "Abspielen", "Lire", "Reproducir", "再生"],
  pause: ["Pause", "Anhalten", "Pause", "Pausa", "一時停止"],
  step: ["Decode step", "Dekodierschritt", "Étape de décodage", "Paso de decodificación", "デコードのステップ"],
  attentionTitle: ["Cross-attention: Q′ meets K′, V′", "Kreuz-Aufmerksamkeit: Q′ trifft K′, V′", "Attention croisée : Q′ rencontre K′, V′", "Atención cruzada: Q′ se encuentra con K′, V′", "クロスアテンション: Q′とK′・V′"],
  attentionText: ["Above, the source: its token embeddings E with positions make X, and the encoder turns X into K′ and V′, once. Below, the target, after its start N₀. At each step the decoder’s query Q′ looks at the source; a thicker line is a larger weight.", "Oben die Quelle: Einbettungen E mit Positionen ergeben X, und der Encoder macht daraus einmal K′ und V′. Unten das Ziel nach seinem Anfang N₀. In jedem Schritt blickt die Abfrage Q′ auf die Quelle; dickere Linien sind größere Gewichte.", "En haut, la source : les plongements E et les positions donnent X, dont l’encodeur tire K′ et V′, une seule fois. En bas, la cible, après son début N₀. À chaque étape, la requête Q′ regarde la source ; un trait épais est un poids élevé.", "Arriba, el origen: los vectores E con sus posiciones forman X, y el codificador saca de X, una vez, K′ y V′. Abajo, el destino, tras su inicio N₀. En cada paso la consulta Q′ mira al origen; una línea gruesa es un peso mayor.", "上は原文。埋め込みEに位置を加えたXから、エンコーダーがK′とV′を一度だけ作ります。下は開始トークンN₀に続く訳文。各ステップでQ′が原文を見ます。太い線ほど重みが大きくなります。"],
  heatmapTitle: ["All steps at once", "Alle Schritte auf einmal", "Toutes les étapes", "Todos los pasos", "全ステップ"],
  heatmapText: ["softmax(Q′K′ᵀ/√d): a row for each target token, a column for each source token.", "softmax(Q′K′ᵀ/√d): eine Zeile je Ziel-Token, eine Spalte je Quell-Token.", "softmax(Q′K′ᵀ/√d) : une ligne par token cible, une colonne par token source.", "softmax(Q′K′ᵀ/√d): una fila por token de destino, una columna por token de origen.", "softmax(Q′K′ᵀ/√d): 行は訳文、列は原文のトークン。"],
  barsTitle: ["The next token: softmax(Z′W)", "Das nächste Token: softmax(Z′W)", "Le token suivant : softmax(Z′W)", "El siguiente token: softmax(Z′W)", "次のトークン: softmax(Z′W)"],
  barsText: ["W maps the decoder’s last state Z′ to the vocabulary; these tokens were the most probable.", "W bildet den letzten Zustand Z′ auf das Vokabular ab; dies waren die wahrscheinlichsten Tokens.", "W projette le dernier état Z′ sur le vocabulaire ; voici les tokens les plus probables.", "W lleva el último estado Z′ al vocabulario; estos eran los tokens más probables.", "Wはデコーダーの最終状態Z′を語彙に写します。確率の高いトークンです。"],
  maskTitle: ["The causal mask M", "Die kausale Maske M", "Le masque causal M", "La máscara causal M", "因果マスクM"],
  maskText: ["M is added to QKᵀ/√d: 0 where a position may be seen (filled), a large negative number where not. A token sees only what came before it.", "M wird zu QKᵀ/√d addiert: 0, wo eine Position gesehen werden darf (gefüllt), sonst stark negativ. Ein Token sieht nur, was vor ihm kam.", "M s’ajoute à QKᵀ/√d : 0 là où une position est visible (plein), sinon un grand nombre négatif. Un token ne voit que ce qui le précède.", "M se suma a QKᵀ/√d: 0 donde se puede ver (relleno), un número muy negativo donde no. Un token solo ve lo anterior.", "MはQKᵀ/√dに加えられます。見える位置は0(塗り)、見えない位置は大きな負の数。トークンは前だけを見ます。"],
  serverDid: ["What the server did", "Was der Server tat", "Ce qu’a fait le serveur", "Lo que hizo el servidor", "サーバーの動作"],
  firstToken: ["Time to first token", "Zeit bis zum ersten Token", "Délai du premier token", "Tiempo al primer token", "最初のトークンまで"],
  perSecond: ["Tokens a second", "Tokens pro Sekunde", "Tokens par seconde", "Tokens por segundo", "毎秒トークン"],
  cache: ["Encoder cache", "Encoder-Cache", "Cache de l’encodeur", "Caché del codificador", "エンコーダーキャッシュ"],
  cacheUse: ["{0} of {1} hit", "{0} von {1} getroffen", "{0} sur {1} trouvés", "{0} de {1} aciertos", "{1}件中{0}件ヒット"],
  batchRows: ["Rows in the batch", "Zeilen im Stapel", "Lignes du lot", "Filas del lote", "バッチの行数"],
  model: ["Model", "Modell", "Modèle", "Modelo", "モデル"],
  request: ["The request", "Die Anfrage", "La requête", "La petición", "リクエスト"],
  events: ["Events", "Ereignisse", "Événements", "Eventos", "イベント"],
  apiDocs: ["API", "API", "API", "API", "API"],
  metrics: ["Metrics", "Metriken", "Métriques", "Métricas", "メトリクス"],
  keyTitle: ["This server wants an API key", "Dieser Server verlangt einen API-Schlüssel", "Ce serveur demande une clé d’API", "Este servidor pide una clave de API", "このサーバーにはAPIキーが必要です"],
  keyLabel: ["API key", "API-Schlüssel", "Clé d’API", "Clave de API", "APIキー"],
  keyNote: ["It is kept in this tab only, until the tab is closed.", "Er bleibt nur in diesem Tab, bis dieser geschlossen wird.", "Elle reste dans cet onglet seulement, jusqu’à sa fermeture.", "Se guarda solo en esta pestaña, hasta que se cierre.", "このタブを閉じるまで、このタブだけに保存されます。"],
  keyUse: ["Use it", "Verwenden", "Utiliser", "Usar", "使う"],
};

let column = 0;

export const pageLanguage = () => CODES[column];

export function word(name, ...values) {
  return WORDS[name][column].replace(/\{(\d)\}/g, (_, index) => values[index]);
}

/** The first of the browser's languages in which the page is available. */
export function preferredLanguage() {
  const codes = navigator.languages.map((code) => code.slice(0, 2));
  return codes.find((code) => CODES.includes(code)) ?? "en";
}

/** Put the words of a language into all elements that name a word. */
export function speak(code) {
  column = Math.max(0, CODES.indexOf(code));
  document.documentElement.lang = pageLanguage();
  for (const each of document.querySelectorAll("[data-word]")) each.textContent = word(each.dataset.word);
  for (const each of document.querySelectorAll("[data-label]")) label(each, word(each.dataset.label));
  for (const each of document.querySelectorAll("[data-placeholder]")) each.placeholder = word(each.dataset.placeholder);
}

export function label(element, text) {
  element.setAttribute("aria-label", text);
  if (element.matches("button.icon")) element.title = text;
}

export function languageName(code, fallback = code) {
  try {
    return new Intl.DisplayNames([pageLanguage()], { type: "language" }).of(code) ?? fallback;
  } catch {
    return fallback;
  }
}
