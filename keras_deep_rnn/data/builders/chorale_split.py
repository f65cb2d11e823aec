"""Split of `bach_chorales`: names in music21's corpus, grouped by tune.

Made by `tunes.split` from the scores of music21 10.5.1. Slashes separate tunes. Left out are
`bwv846`, which is not a chorale, and scores in Humdrum format: the corpus has them as MusicXML too.
"""

TUNES = {
    "train": """
        bwv1.6 bwv36.4-2 bwv172.6 bwv436 / bwv2.6 bwv77.6 bwv153.1 / bwv4.8 bwv158.4 bwv277
        bwv278 bwv279 / bwv5.7 bwv10.7 bwv89.6 bwv136.6 bwv148.6 bwv188.6 bwv265 bwv323 bwv324
        bwv381 / bwv6.6 / bwv7.7 bwv176.6 bwv280 / bwv8.6 / bwv9.7 bwv86.6 bwv117.4 bwv155.5
        bwv177.4 bwv251 / bwv11.6 bwv43.11 bwv248.12-2 / bwv13.6 bwv44.7 bwv97.9 bwv244.10
        bwv244.37 bwv245.11 bwv392 bwv393 bwv394 bwv395 / bwv14.5 / bwv16.6 bwv28.6 bwv183.5 /
        bwv19.7 bwv25.6 bwv30.6 bwv32.6 bwv39.7 bwv70.7 bwv194.6 / bwv20.7 bwv20.11 bwv397 /
        bwv24.6 bwv399 / bwv26.6 bwv79.3 bwv79.6 bwv165.6 bwv194.12 bwv252 bwv356 bwv386 /
        bwv27.6 / bwv31.9 bwv95.7 bwv428 bwv429 bwv430 / bwv33.6 bwv261 / bwv36.8-2 / bwv37.6
        bwv347 bwv348 / bwv38.6 / bwv40.3 bwv78.7 bwv110.7 bwv127.5 bwv245.15 bwv245.37
        bwv248.35-3 bwv248.35-3c bwv286 bwv337 bwv350 bwv352 bwv353 bwv354 bwv404 / bwv40.6 /
        bwv40.8 / bwv41.6 bwv171.6 bwv190.7 bwv190.7-inst / bwv42.7 bwv126.6 / bwv47.5 bwv420
        bwv421 / bwv48.7 bwv113.8 bwv168.6 bwv334 / bwv55.5 bwv146.8 bwv153.9 bwv154.3 bwv187.7
        bwv244.40 bwv359 bwv360 / bwv56.5 bwv281 bwv282 bwv301 / bwv57.8 / bwv59.3 bwv175.7
        bwv226.2 / bwv60.5 / bwv64.2 bwv91.6 bwv248.28 bwv314 / bwv64.8 bwv81.7 bwv87.7 bwv227.1
        bwv227.3 bwv227.7 bwv227.11 bwv358 / bwv65.7 bwv72.6 bwv92.9 bwv103.6 bwv111.6 bwv144.6
        bwv244.25 / bwv67.4 bwv145.5 / bwv67.7 bwv116.6 bwv306 / bwv69.6 bwv311 bwv312 /
        bwv70.11 bwv124.6 bwv154.8 bwv157.5 bwv244.29-a bwv380 / bwv73.5 bwv417 bwv418 bwv419 /
        bwv74.8 bwv108.6 / bwv80.8 bwv302 bwv303 / bwv83.5 bwv125.6 bwv382 / bwv84.5 bwv88.7
        bwv93.7 bwv166.6 bwv179.6 bwv197.10 bwv434 / bwv85.6 / bwv96.6 bwv164.6 / bwv104.6
        bwv112.5 bwv112.5-sc bwv260 / bwv114.7 bwv178.7 bwv256 bwv257 bwv258 / bwv115.6 /
        bwv119.9 bwv120.6 bwv328 / bwv120.8-a bwv137.5 / bwv122.6 / bwv133.6 / bwv135.6 bwv153.5
        bwv161.6 bwv244.15 bwv244.17 bwv244.44 bwv244.54 bwv244.62 bwv248.5 bwv248.64-6
        bwv248.64-s bwv270 bwv271 / bwv139.6 bwv245.22 bwv377 / bwv140.7 / bwv151.5 bwv195.6
        bwv375 bwv376 / bwv156.6 bwv339 / bwv162.6-lpz / bwv169.7 bwv197.5 bwv385 / bwv180.7 /
        bwv229.2 / bwv244.3 bwv244.46 bwv245.3 bwv245.17 / bwv248.9-1 bwv248.9-s bwv248.17
        bwv248.23-2 bwv248.23-s / bwv248.33-3 bwv422 / bwv248.42-4 bwv248.42-s / bwv248.53-5 /
        bwv253 bwv414 / bwv254 / bwv259 / bwv262 / bwv264 / bwv266 / bwv267 / bwv268 / bwv269 /
        bwv272 / bwv273 / bwv275 / bwv283 / bwv284 / bwv285 / bwv287 / bwv290 / bwv291 / bwv292
        / bwv293 / bwv294 / bwv295 / bwv296 / bwv298 / bwv300 / bwv304 / bwv305 / bwv308 /
        bwv313 / bwv319 / bwv320 / bwv321 / bwv322 / bwv325 / bwv329 / bwv332 / bwv333 / bwv335
        / bwv338 / bwv341 / bwv344 / bwv345 / bwv346 / bwv349 / bwv355 / bwv357 / bwv361 /
        bwv362 / bwv363 / bwv364 / bwv367 / bwv368 / bwv369 / bwv370 / bwv371 / bwv372 / bwv373
        / bwv374 / bwv378 / bwv379 / bwv384 / bwv387 / bwv388 / bwv396 / bwv400 / bwv401 /
        bwv403 / bwv406 / bwv407 / bwv408 / bwv409 / bwv410 / bwv412 / bwv413 / bwv424 / bwv425
        / bwv426 / bwv427 / bwv433 / bwv437 / bwv438
    """,
    "validation": """
        bwv3.6 / bwv17.7 bwv29.8 bwv389 bwv390 / bwv18.5-lz bwv18.5-w / bwv45.7 bwv64.4 bwv94.8
        bwv128.5 bwv197.7-a bwv398 / bwv66.6 bwv276 / bwv121.6 / bwv159.5 bwv245.14 bwv245.28 /
        bwv177.5 bwv185.6 / bwv245.26 bwv415 / bwv299 / bwv309 / bwv310 / bwv315 / bwv316 /
        bwv330 bwv331 / bwv343 / bwv351 / bwv366 / bwv383 / bwv402 / bwv405 / bwv411 / bwv423 /
        bwv431 bwv432 / bwv435
    """,
    "test": """
        bwv12.7 bwv69.6-a bwv99.6 bwv144.3 bwv250 / bwv46.6 / bwv48.3 bwv255 / bwv52.6 bwv244.32
        bwv248.46-5 / bwv62.6 bwv274 / bwv65.2 / bwv90.5 bwv101.7 bwv102.7 bwv245.5 bwv416 /
        bwv123.6 / bwv130.6 bwv326 bwv327 / bwv145-a bwv317 bwv365 / bwv149.7 bwv174.5 bwv245.40
        bwv340 / bwv184.5 / bwv248.59-6 bwv307 / bwv263 / bwv288 bwv289 / bwv297 / bwv318 /
        bwv336 / bwv342 / bwv391
    """,
}

SPLIT = {split: tunes.replace("/", " ").split() for split, tunes in TUNES.items()}
