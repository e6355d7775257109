/**
 * Names of the time-zone database (release 2025b, public domain) that are links, or the targets of links. `Intl.supportedValuesOf` lists one
 * name for each zone, and which one differs between ICU releases; `Intl.DateTimeFormat` in turn takes names of its own (`PST`) and any letter
 * case. Go's `time.LoadLocation`, whose answers the contract asks for, takes the database's names and nothing else.
 */
const LINKED: Readonly<Record<string, string>> = {
  Africa: 'Abidjan Asmara Asmera Cairo Nairobi Timbuktu Tripoli',
  America:
    'Adak Anchorage Argentina/Buenos_Aires Argentina/Catamarca Argentina/ComodRivadavia Argentina/Cordoba Argentina/Jujuy ' +
    'Argentina/Mendoza Atikokan Atka Buenos_Aires Catamarca Chicago Coral_Harbour Cordoba Denver Detroit Edmonton Ensenada ' +
    'Fort_Wayne Godthab Halifax Havana Indiana/Indianapolis Indiana/Knox Indianapolis Iqaluit Jamaica Jujuy ' +
    'Kentucky/Louisville Knox_IN Kralendijk Los_Angeles Louisville Lower_Princes Manaus Marigot Mazatlan Mendoza ' +
    'Mexico_City Montreal New_York Nipigon Noronha Nuuk Panama Pangnirtung Phoenix Porto_Acre Puerto_Rico Rainy_River ' +
    'Regina Rio_Branco Rosario Santa_Isabel Santiago Sao_Paulo Shiprock St_Barthelemy St_Johns Thunder_Bay Tijuana Toronto ' +
    'Vancouver Virgin Whitehorse Winnipeg Yellowknife',
  Antarctica: 'South_Pole',
  Arctic: 'Longyearbyen',
  Asia:
    'Ashgabat Ashkhabad Calcutta Choibalsan Chongqing Chungking Dacca Dhaka Harbin Ho_Chi_Minh Hong_Kong Istanbul Jerusalem ' +
    'Kashgar Kathmandu Katmandu Kolkata Macao Macau Makassar Nicosia Rangoon Saigon Seoul Shanghai Singapore Taipei Tehran ' +
    'Tel_Aviv Thimbu Thimphu Tokyo Ujung_Pandang Ulaanbaatar Ulan_Bator Urumqi Yangon',
  Atlantic: 'Faeroe Faroe Jan_Mayen',
  Australia:
    'ACT Adelaide Brisbane Broken_Hill Canberra Currie Darwin Hobart LHI Lord_Howe Melbourne NSW North Perth Queensland ' +
    'South Sydney Tasmania Victoria West Yancowinna',
  Brazil: 'Acre DeNoronha East West',
  '':
    'CET CST6CDT Cuba EET EST EST5EDT Egypt Eire GB GB-Eire GMT GMT+0 GMT-0 GMT0 Greenwich HST Hongkong Iceland Iran Israel ' +
    'Jamaica Japan Kwajalein Libya MET MST MST7MDT NZ NZ-CHAT Navajo PRC PST8PDT Poland Portugal ROC ROK Singapore Turkey ' +
    'UCT UTC Universal W-SU WET Zulu',
  Canada: 'Atlantic Central Eastern Mountain Newfoundland Pacific Saskatchewan Yukon',
  Chile: 'Continental EasterIsland',
  Etc:
    'GMT GMT+0 GMT+1 GMT+10 GMT+11 GMT+12 GMT+2 GMT+3 GMT+4 GMT+5 GMT+6 GMT+7 GMT+8 GMT+9 GMT-0 GMT-1 GMT-10 GMT-11 GMT-12 ' +
    'GMT-13 GMT-14 GMT-2 GMT-3 GMT-4 GMT-5 GMT-6 GMT-7 GMT-8 GMT-9 GMT0 Greenwich UCT UTC Universal Zulu',
  Europe:
    'Belfast Belgrade Berlin Bratislava Busingen Chisinau Dublin Helsinki Istanbul Kiev Kyiv Lisbon London Mariehamn Moscow ' +
    'Nicosia Podgorica Prague Rome San_Marino Tiraspol Uzhgorod Vatican Warsaw Zaporozhye Zurich',
  Mexico: 'BajaNorte BajaSur General',
  Pacific:
    'Auckland Chatham Chuuk Easter Enderbury Guadalcanal Honolulu Johnston Kanton Kwajalein Pago_Pago Pohnpei Ponape ' +
    'Port_Moresby Samoa Truk Yap',
  US: 'Alaska Aleutian Arizona Central East-Indiana Eastern Hawaii Indiana-Starke Michigan Mountain Pacific Samoa',
}

let known: ReadonlySet<string> | undefined

/** Whether the time-zone database has this very name; letter case counts. */
export function isZoneName(name: string): boolean {
  known ??= new Set([
    ...Intl.supportedValuesOf('timeZone'),
    ...Object.entries(LINKED).flatMap(([area, places]) => places.split(' ').map((place) => (area === '' ? place : `${area}/${place}`))),
  ])
  return known.has(name)
}
