-- The kinds of notification and their words: views of constants, which travel with the schema, so
-- that no data migration can forget them.
-- Needs: 00_platform.sql. Policies: policies/30_notifications.sql.

-- Kinds ------------------------------------------------------------------------------------------

create view private.notification_kinds as
  select k.kind, k.urgency, k.channels, k.required, k.collapse_key, k.is_discreet
  from (values
    ('care_requested', 'normal', '{in_app,email,push}'::text[], '{}'::text[], null, false),
    ('care_accepted', 'normal', '{in_app,email,push}', '{}', null, false),
    ('care_ended', 'normal', '{in_app,email,push}', '{}', null, false),
    ('record_shared', 'normal', '{in_app,email,push}', '{}', null, false),
    ('chart_opened', 'normal', '{}', '{}', null, false),
    (
      'emergency_access', 'emergency', '{in_app,email,sms,push}', '{in_app,email}', null, false
    ),
    ('emergency_review_due', 'emergency', '{in_app,email,push}', '{in_app,email}', null, false),
    ('emergency_reviewed', 'normal', '{in_app,email,push}', '{}', null, false),
    ('emergency_objection', 'normal', '{in_app,email,push}', '{}', null, false),
    ('doctor_verified', 'normal', '{in_app,email,push}', '{}', null, false),
    ('doctor_rejected', 'normal', '{in_app,email,push}', '{}', null, false),
    ('new_message', 'normal', '{in_app,push}', '{}', 'conversation_id', true),
    ('new_sign_in', 'security', '{in_app,email,push}', '{in_app,email}', null, true),
    ('mfa_changed', 'security', '{in_app,email,push}', '{in_app,email}', null, true),
    ('delivery_dead', 'normal', '{in_app}', '{}', 'channel', true),
    ('reminder_due', 'reminder', '{in_app,push}', '{}', null, true),
    ('reminder_missed', 'normal', '{in_app,push}', '{}', 'user_id', true),
    ('reminder_stopped', 'reminder', '{in_app,email,push}', '{}', 'reminder_id', true),
    ('reminder_escalated', 'reminder', '{in_app,email,push}', '{}', null, false),
    ('medication_refill', 'normal', '{in_app,push}', '{}', 'medication_id', true)
  ) as k (kind, urgency, channels, required, collapse_key, is_discreet);
comment on view private.notification_kinds is
  'Every kind of notification. urgency: normal, or reminder (its time was chosen), security and '
  'emergency, which wait for no quiet hours. channels: where it goes unless the preferences of an '
  'account say otherwise; none: only who asks for it gets it. required: what no preference switches '
  'off. collapse_key: the id in data of which an account has one unread notification at most. '
  'is_discreet: whether its words may stand on a locked screen, as they tell nothing of care.';

-- Words ------------------------------------------------------------------------------------------

create view private.notification_templates as
  select t.kind, t.locale, t.title, t.body
  from (values
    (
      'emergency_access', 'en', 'Your chart was opened in an emergency',
      'A doctor has opened your chart in an emergency and said why. Every look into it is in your '
        || 'access log, an administrator will review it, and you may object.'
    ),
    (
      'emergency_access', 'hi', 'आपात स्थिति में आपका चार्ट खोला गया',
      'एक डॉक्टर ने आपात स्थिति में आपका चार्ट खोला है और कारण बताया है। हर पहुँच आपके एक्सेस लॉग में '
        || 'दर्ज है, एक प्रशासक इसकी समीक्षा करेगा, और आप आपत्ति कर सकते हैं।'
    ),
    (
      'emergency_review_due', 'en', 'An emergency access waits for review',
      'A doctor has opened a chart in an emergency. Please review whether it was justified.'
    ),
    (
      'emergency_review_due', 'hi', 'एक आपातकालीन पहुँच समीक्षा की प्रतीक्षा में है',
      'एक डॉक्टर ने आपात स्थिति में एक चार्ट खोला है। कृपया समीक्षा करें कि यह उचित था या नहीं।'
    ),
    (
      'emergency_reviewed', 'en', 'An emergency access was reviewed',
      'An administrator has reviewed an emergency access that concerns you. The outcome is with it.'
    ),
    (
      'emergency_reviewed', 'hi', 'एक आपातकालीन पहुँच की समीक्षा हुई',
      'एक प्रशासक ने आपसे जुड़ी एक आपातकालीन पहुँच की समीक्षा की है। परिणाम उसी के साथ है।'
    ),
    (
      'emergency_objection', 'en', 'A patient objects to an emergency access',
      'A patient has objected to an emergency access to their chart. The objection is with it.'
    ),
    (
      'emergency_objection', 'hi', 'एक मरीज़ ने आपातकालीन पहुँच पर आपत्ति की',
      'एक मरीज़ ने अपने चार्ट की आपातकालीन पहुँच पर आपत्ति की है। आपत्ति उसी के साथ है।'
    ),
    (
      'care_requested', 'en', 'Somebody asks to take part in your care',
      'A doctor or caregiver asks for access to your data. Nothing is open to them until you accept.'
    ),
    (
      'care_requested', 'hi', 'कोई आपकी देखभाल में शामिल होना चाहता है',
      'एक डॉक्टर या देखभालकर्ता आपके डेटा तक पहुँच माँगता है। आपकी स्वीकृति तक उनके लिए कुछ भी खुला नहीं है।'
    ),
    (
      'care_accepted', 'en', 'A care relationship has begun',
      'A patient has let you take part in their care.'
    ),
    (
      'care_accepted', 'hi', 'एक देखभाल संबंध शुरू हुआ',
      'एक मरीज़ ने आपको अपनी देखभाल में शामिल होने दिया है।'
    ),
    (
      'care_ended', 'en', 'A care relationship has ended',
      'A care relationship of yours has ended, and with it the access that it gave.'
    ),
    (
      'care_ended', 'hi', 'एक देखभाल संबंध समाप्त हुआ',
      'आपका एक देखभाल संबंध समाप्त हो गया है, और उसके साथ उससे मिली पहुँच भी।'
    ),
    (
      'record_shared', 'en', 'A record was shared with you',
      'Somebody has shared a record with you. Opening it is logged.'
    ),
    (
      'record_shared', 'hi', 'आपके साथ एक रिकॉर्ड साझा किया गया',
      'किसी ने आपके साथ एक रिकॉर्ड साझा किया है। उसे खोलना दर्ज किया जाता है।'
    ),
    (
      'chart_opened', 'en', 'Your chart was opened',
      'Somebody who takes part in your care has opened your chart. Every look is in your access log.'
    ),
    (
      'chart_opened', 'hi', 'आपका चार्ट खोला गया',
      'आपकी देखभाल में शामिल किसी ने आपका चार्ट खोला है। हर पहुँच आपके एक्सेस लॉग में दर्ज है।'
    ),
    (
      'doctor_verified', 'en', 'You are verified',
      'An administrator has verified you as a clinician.'
    ),
    (
      'doctor_verified', 'hi', 'आप सत्यापित हैं',
      'एक प्रशासक ने आपको चिकित्सक के रूप में सत्यापित किया है।'
    ),
    (
      'doctor_rejected', 'en', 'You are not verified',
      'An administrator has refused or withdrawn your verification. The reason is with it.'
    ),
    (
      'doctor_rejected', 'hi', 'आप सत्यापित नहीं हैं',
      'एक प्रशासक ने आपका सत्यापन अस्वीकार किया या वापस लिया है। कारण उसी के साथ है।'
    ),
    ('new_message', 'en', 'You have a new message', 'Open the conversation to read it.'),
    ('new_message', 'hi', 'आपके लिए एक नया संदेश है', 'पढ़ने के लिए बातचीत खोलें।'),
    (
      'new_sign_in', 'en', 'New sign-in to your account',
      'Somebody has signed in to your account. If it was not you, change your password and end the '
        || 'other sessions.'
    ),
    (
      'new_sign_in', 'hi', 'आपके खाते में नया साइन-इन',
      'किसी ने आपके खाते में साइन इन किया है। यदि वह आप नहीं थे, तो अपना पासवर्ड बदलें और अन्य सत्र समाप्त करें।'
    ),
    (
      'mfa_changed', 'en', 'A second factor of your account was changed',
      'A second factor was added to your account or taken from it. If it was not you, change your '
        || 'password and ask for help.'
    ),
    (
      'mfa_changed', 'hi', 'आपके खाते का दूसरा कारक बदला गया',
      'आपके खाते में दूसरा कारक जोड़ा या उससे हटाया गया है। यदि वह आप नहीं थे, तो अपना पासवर्ड बदलें और सहायता '
        || 'माँगें।'
    ),
    (
      'delivery_dead', 'en', 'A notification could not be delivered',
      'A delivery was given up after its last attempt. Look at it, and try again when the cause is gone.'
    ),
    (
      'delivery_dead', 'hi', 'एक सूचना पहुँचाई नहीं जा सकी',
      'अंतिम प्रयास के बाद एक डिलीवरी छोड़ दी गई। इसे देखें, और कारण दूर होने पर फिर प्रयास करें।'
    ),
    ('reminder_due', 'en', 'You have a reminder', 'Open the app to see what is due, and answer it.'),
    ('reminder_due', 'hi', 'आपके लिए एक अनुस्मारक है', 'क्या करना है, यह देखने और उत्तर देने के लिए ऐप खोलें।'),
    (
      'reminder_missed', 'en', 'Reminders have passed',
      'Some reminders could not be sent in time. Open the app to see which.'
    ),
    (
      'reminder_missed', 'hi', 'कुछ अनुस्मारक छूट गए',
      'कुछ अनुस्मारक समय पर नहीं भेजे जा सके। कौन से, यह देखने के लिए ऐप खोलें।'
    ),
    (
      'reminder_stopped', 'en', 'A reminder has stopped',
      'Its times cannot be worked out. Open the app to set it again.'
    ),
    (
      'reminder_stopped', 'hi', 'एक अनुस्मारक रुक गया है',
      'इसके समय तय नहीं किए जा सके। इसे फिर से सेट करने के लिए ऐप खोलें।'
    ),
    (
      'reminder_escalated', 'en', 'Somebody you care for has not answered',
      'A reminder of somebody in your care was not answered. Please look after them.'
    ),
    (
      'reminder_escalated', 'hi', 'जिनकी आप देखभाल करते हैं, उन्होंने उत्तर नहीं दिया',
      'आपकी देखभाल में किसी व्यक्ति के अनुस्मारक का उत्तर नहीं मिला। कृपया उनका ध्यान रखें।'
    ),
    (
      'medication_refill', 'en', 'A supply is running low',
      'Something whose stock you count is running low. Open the app to see what.'
    ),
    (
      'medication_refill', 'hi', 'भंडार कम हो रहा है',
      'जिसका भंडार आप गिनते हैं, वह कम हो रहा है। क्या, यह देखने के लिए ऐप खोलें।'
    )
  ) as t (kind, locale, title, body);
comment on view private.notification_templates is
  'The words of every kind of notification by language (BCP 47). Each kind has English; no text '
  'says anything of somebody''s health, nor a name.';

create view private.notification_minimal_words as
  select t.urgency, t.locale, t.title, t.body
  from (values
    ('normal', 'en', 'You have a new notification', 'Open the app to read it.'),
    ('normal', 'hi', 'आपके लिए एक नई सूचना है', 'पढ़ने के लिए ऐप खोलें।'),
    (
      'security', 'en', 'A notification about the security of your account',
      'Open the app to read it.'
    ),
    ('reminder', 'en', 'You have a reminder', 'Open the app to see what is due.'),
    ('reminder', 'hi', 'आपके लिए एक अनुस्मारक है', 'क्या करना है, यह देखने के लिए ऐप खोलें।'),
    ('security', 'hi', 'आपके खाते की सुरक्षा के बारे में एक सूचना', 'पढ़ने के लिए ऐप खोलें।'),
    ('emergency', 'en', 'You have an urgent notification', 'Open the app now to read it.'),
    ('emergency', 'hi', 'आपके लिए एक ज़रूरी सूचना है', 'पढ़ने के लिए अभी ऐप खोलें।')
  ) as t (urgency, locale, title, body);
comment on view private.notification_minimal_words is
  'What leaves the app instead of the words of a kind, unless the account wants those: that there '
  'is something, and how urgent it is.';
